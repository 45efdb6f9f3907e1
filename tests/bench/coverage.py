#!/usr/bin/env python3
"""How `coverage` grows with a fleet, beside `sort | uniq -c` of the same list, in one run.

    coverage.py PROGRAM

The lists are generated, the same each time: 300 kernels, 1 % of the lines odd. Each figure is the least of five runs, the two commands in turn.
Ends with 1 if 10,000 hosts take more than ten times as long as `sort | uniq -c`, or if ten times the hosts take more than fifteen times as long.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

KERNELS = [f"6.{minor}.{patch}-generic" for minor in range(1, 11) for patch in range(30)]
SCRIPTS = [f"script_{number}" for number in range(20)]
ODD = ["ssh: connect to host x port 22: Connection refused", "{}", "", "Permission denied (publickey)."]
RUNS = 5


def fleet(hosts):
    dice = random.Random(hosts)
    # Some kernels have most of the hosts.
    weights = [1 / (1 + place) for place in range(len(KERNELS))]
    for number, kernel in enumerate(dice.choices(KERNELS, weights, k=hosts)):
        if dice.random() < 0.01:
            yield dice.choice(ODD)
        else:
            yield f"host{number}: Linux host{number} {kernel} #1 SMP PREEMPT_DYNAMIC x86_64 GNU/Linux"


def plan():
    red = random.Random(1)
    state = lambda: ("red", "no such probe") if red.random() < 0.02 else ("cached", None)
    cells = []
    for kernel in KERNELS:
        for script in SCRIPTS:
            word, reason = state()
            cells.append({"script": script, "kernel": kernel, "state": word, "reason": reason})
    kernels = [{"release": kernel, "machine": "x86_64", "uname_v": "#1 SMP PREEMPT_DYNAMIC"} for kernel in KERNELS]
    return {"schema": "build-plan/1", "cells": cells, "kernels": kernels}


def run(arguments, shell=False):
    """Seconds, and the most memory in MiB."""
    begun = time.monotonic()
    child = subprocess.Popen(arguments, shell=shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with open("plan.json", "w") as file:
            json.dump(plan(), file)
        print(f"{'hosts':>8} {'coverage':>10} {'sort|uniq':>10} {'ratio':>6} {'memory':>9}")
        figures = {}
        for hosts in (100, 1_000, 10_000, 100_000):
            with open("fleet.txt", "w") as file:
                file.writelines(line + "\n" for line in fleet(hosts))
            ours, theirs = [], []
            for _ in range(RUNS):
                ours.append(run([program, "coverage", "--fleet", "fleet.txt", "--plan", "plan.json"]))
                theirs.append(run("sort fleet.txt | uniq -c", shell=True))
            seconds, memory = min(ours)[0], max(memory for _, memory in ours)
            beside = min(theirs)[0]
            figures[hosts] = (seconds, beside)
            print(f"{hosts:>8} {seconds:>8.3f} s {beside:>8.3f} s {seconds / beside:>6.2f} {memory:>5.1f} MiB")
    slow = figures[10_000][0] > 10 * figures[10_000][1]
    steep = figures[100_000][0] > 15 * figures[10_000][0]
    sys.exit(1 if slow or steep else 0)


main()

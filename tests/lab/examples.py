#!/usr/bin/env python3
"""usage: examples.py EXAMPLES DIRECTORY

Makes a farm's configuration of the examples that systemtap publishes, each with the options and arguments of its own check (`test_check`
in its .meta): DIRECTORY/scripts, DIRECTORY/conf.d and DIRECTORY/config. A script that runs has its output in /tmp/out/NAME.
"""

import re
import shlex
import sys
from pathlib import Path


def module_name(script, taken):
    name = re.sub(r"[^A-Za-z0-9_]", "_", script.stem)
    name = re.sub(r"^(\d)", r"_\1", name)[:55]
    return name + "_2" if name in taken else name


def meta_of(path):
    fields = {}
    for line in path.read_text(errors="replace").splitlines():
        if found := re.match(r"(\w+):\s*(.*)", line):
            fields.setdefault(found[1], found[2].strip())
    return fields


def options_of(check, directory, script):
    """The words of `stap …`, without those that ask for a pass, start a command or choose another runtime."""
    check = check.replace("`which stap`", "/usr/bin/stap")
    check = re.sub(r"\$\$(?!vars)", "1", check)
    words = shlex.split(re.sub(r"`[^`]*`", "ffffffff81000000", check))
    if not words or words[0] != "stap":
        return []
    options = []
    words = iter(words[1:])
    for word in words:
        if word == "-c":
            next(words)
        elif found := re.fullmatch(r"-(\w*)p[1-4]", word):
            options += ["-" + found[1]] if found[1] else []
        elif word.startswith("-I"):
            options.append("-I" + str((directory / word[2:]).resolve()))
        elif word not in (script.name, "--bpf", "--runtime=bpf"):
            options.append(word)
    return options


def main(examples, directory):
    directory = Path(directory).resolve()
    for name in ("scripts", "conf.d"):
        (directory / name).mkdir(parents=True)
    lines = [f"SCRIPT_PATH={directory}/scripts", f"CONFIG_PATH={directory}/conf.d"]
    taken = set()
    for path in sorted(Path(examples).rglob("*.meta")):
        meta = meta_of(path)
        script = path.parent / meta.get("name", path.stem + ".stp")
        if script.suffix != ".stp" or not script.is_file():
            continue
        name = module_name(script, taken)
        taken.add(name)
        (directory / "scripts" / f"{name}.stp").write_bytes(script.read_bytes())
        options = ["-o", f"/tmp/out/{name}", *options_of(meta.get("test_check", ""), path.parent, script)]
        lines.append(f"{name}_OPT={shlex.quote(shlex.join(options))}")
    (directory / "config").write_text("\n".join(lines) + "\n")


main(*sys.argv[1:])

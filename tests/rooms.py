#!/usr/bin/env python3
"""Fails where rooms of a crate import each other in a circle.

A room is a module: a file, or a directory with all that is in it. Of the modules beside each other in one directory none may
need, by way of others or not, one that needs it. Tests are no rooms.

    tests/rooms.py            names each circle, and the imports that close it; ends with 1 if there is one
    tests/rooms.py --figures  rooms and arrows of each crate as well
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^\\'])'""", re.S)
TESTS = re.compile(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*(;|\{)")
USE = re.compile(r"(?:^|[\n;{}])\s*(?:#\[[^\]]*\]\s*)*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"\b(crate|super|self)((?:\s*::\s*\w+)+)")


def closing(text, start):
    """The place behind the brace that closes the one before `start`."""
    depth = 1
    while depth and start < len(text):
        depth += {"{": 1, "}": -1}.get(text[start], 0)
        start += 1
    return start


def source(path):
    """The text without comments, strings and tests, and the names of its test modules."""
    text = TOKEN.sub(" ", path.read_text())
    tests = set()
    while found := TESTS.search(text):
        tests.add(found[1])
        end = closing(text, found.end()) if found[2] == "{" else found.end()
        text = text[: found.start()] + text[end:]
    return text, tests


def parts(text):
    """Splits at the commas that no brace holds."""
    depth, begin = 0, 0
    for place, sign in enumerate(text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and not depth:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def leaves(tree, before=()):
    """The paths of a `use`, each with the name that it gives."""
    tree = tree.strip()
    if not tree:
        return
    head, brace, rest = tree.partition("{")
    steps = tuple(step.strip() for step in re.split(r"\s*::\s*", head.strip()) if step.strip())
    if brace:
        for part in parts(rest.rsplit("}", 1)[0]):
            yield from leaves(part, before + steps)
        return
    *way, last = steps
    last, _, renamed = (word.strip() for word in last.partition(" as "))
    path = before + tuple(way) + (() if last == "self" and (before or way) else (last,))
    yield path, renamed or path[-1]


class Crate:
    def __init__(self, top):
        self.name = top.relative_to(TOP).as_posix()
        self.text, self.uses, self.given = {}, {}, {}
        self.read((), top / "src/lib.rs", top / "src")
        for module in self.text:
            self.uses[module] = [
                (bool(use[1]), path, name) for use in USE.finditer(self.text[module]) for path, name in leaves(use[2])
            ]
        for module, uses in self.uses.items():
            self.given[module] = {name: path for public, path, name in uses if public}
        self.arrows = self.find_arrows()

    def read(self, module, path, beneath):
        self.text[module], tests = source(path)
        for name in re.findall(r"\bmod\s+(\w+)\s*;", self.text[module]):
            for child in (beneath / f"{name}.rs", beneath / name / "mod.rs"):
                if name not in tests and child.exists():
                    self.read((*module, name), child, beneath / name)

    def resolve(self, module, path, seen=()):
        """The module that defines what a path names from inside `module`; None if that is another crate's."""
        first, *rest = path
        if first == "crate":
            at = ()
        elif first == "self":
            at = module
        elif first == "super":
            at = module[:-1]
            while rest and rest[0] == "super":
                at, rest = at[:-1], rest[1:]
        elif (*module, first) in self.text:
            at = (*module, first)
        else:
            return None
        for place, step in enumerate(rest):
            if (*at, step) in self.text:
                at = (*at, step)
            elif (at, step) not in seen and step in self.given.get(at, ()):
                target = (*self.given[at][step], *rest[place + 1 :])
                return self.resolve(at, target, (*seen, (at, step)))
            else:
                break
        return at

    def find_arrows(self):
        """By pair of modules, the names that the first takes from the second."""
        arrows = defaultdict(set)
        for module, text in self.text.items():
            named = [path for _, path, _ in self.uses[module]]
            body = USE.sub("\n", text)
            named += [tuple(re.split(r"\s*::\s*", found[1] + found[2])) for found in PATH.finditer(body)]
            for path in named:
                target = self.resolve(module, path)
                if target is not None and target != module:
                    arrows[module, target].add(path[-1])
        return arrows

    def siblings(self):
        """By module with children, the arrows between them: from child to child, the imports beneath."""
        beside = defaultdict(lambda: defaultdict(list))
        for (here, there), names in self.arrows.items():
            depth = next((n for n, (a, b) in enumerate(zip(here, there)) if a != b), None)
            if depth is not None:
                beside[here[:depth]][here[depth], there[depth]].append((here, there, names))
        return beside


def circles(arrows):
    """The sets of names that reach each other (Tarjan)."""
    following = defaultdict(set)
    for here, there in arrows:
        following[here].add(there)
    number, low, stack, found = {}, {}, [], []

    def visit(name):
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in following[name]:
            if other not in number:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            circle = [stack.pop()]
            while circle[-1] != name:
                circle.append(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for name in list(following):
        if name not in number:
            visit(name)
    return found


def main():
    sys.setrecursionlimit(10_000)
    bad = 0
    for manifest in sorted(TOP.glob("*/Cargo.toml")):
        if not (manifest.parent / "src/lib.rs").exists():
            continue
        crate = Crate(manifest.parent)
        beside = crate.siblings()
        if "--figures" in sys.argv:
            print(f"{crate.name}: {len(crate.text) - 1} modules, {len(crate.arrows)} arrows; "
                  f"{sum(1 for module in crate.text if len(module) == 1)} rooms, {len(beside[()])} arrows between them")
        for parent, arrows in sorted(beside.items()):
            for circle in circles(arrows):
                bad += 1
                print(f"{crate.name}: {'::'.join(('crate', *parent))}: a circle of {len(circle)}: {', '.join(circle)}")
                for (here, there), imports in sorted(arrows.items()):
                    if here in circle and there in circle:
                        for a, b, names in imports:
                            print(f"  {'::'.join(a)} -> {'::'.join(b)}: {', '.join(sorted(names))}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

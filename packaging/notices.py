#!/usr/bin/env python3
"""usage: notices.py [--sbom] FEATURES TARGET

Prints who made what is in the program, and under which licences: each crate that the lock file names for these features and this target, with
the licence texts of its package; with --sbom a bill of materials (CycloneDX 1.5) instead. CARGO names another cargo; CARGO_FLAGS are handed to
it (--offline).
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

CARGO = os.environ.get("CARGO", "cargo")
FLAGS = ["--locked", *os.environ.get("CARGO_FLAGS", "").split()]
TEXTS = re.compile(r"(licen[cs]e|copying|notice|copyright)", re.I)
STANDARD = """The Rust standard library: MIT OR Apache-2.0, https://github.com/rust-lang/rust
"""
STATIC = """The GNU C Library, linked statically: LGPL-2.1-or-later, https://www.gnu.org/software/libc/. Anyone who wants another version in the program builds it
from its source (`make host`) on a system that has it.
"""


def cargo(*words):
    return subprocess.run([CARGO, *words, *FLAGS], check=True, capture_output=True, text=True).stdout


def crates(features, target):
    """Name and version of each crate that goes into the program."""
    words = ["tree", "-p", "stap-bundle", "--no-default-features", "--features", features, "--target", target]
    lines = cargo(*words, "-e", "normal", "--prefix", "none", "-f", "{p}").splitlines()
    return {tuple(line.split()[:2]) for line in lines if line}


def texts(directory):
    paths = [*directory.iterdir(), *(path for sub in directory.iterdir() if sub.is_dir() for path in sub.iterdir())]
    code = (".rs", ".py", ".toml", ".html", ".json", ".sh")
    files = sorted(path for path in paths if path.is_file() and TEXTS.match(path.name) and path.suffix not in code)
    return [path.read_text(errors="replace").strip() for path in files]


def packages(features, target):
    """The packages of others, by name and version."""
    used = crates(features, target)
    metadata = json.loads(cargo("metadata", "--format-version", "1"))
    found = [package for package in metadata["packages"] if (package["name"], "v" + package["version"]) in used]
    assert len(found) == len(used), used
    others = [package for package in found if package["source"]]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def bill(features, target):
    with open("Cargo.lock", "rb") as file:
        locked = {(crate["name"], crate["version"]): crate["checksum"] for crate in tomllib.load(file)["package"] if "checksum" in crate}

    def component(package):
        name, version = package["name"], package["version"]
        return {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:cargo/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": locked[name, version]}],
            "licenses": [{"expression": (package["license"] or "").replace("/", " OR ")}],
        }

    components = [component(package) for package in packages(features, target)]
    program = {"type": "application", "name": "stap-bundle", "version": version_of("stap-bundle")}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": program}, "components": components}
    print(json.dumps(document, indent=1))


def version_of(name):
    return cargo("pkgid", "-p", name).strip().rsplit("#", 1)[1].rsplit("@", 1)[-1]


def notices(features, target):
    print("stap-bundle contains the following works of others.\n")
    print(STANDARD)
    if features == "host":
        print(STATIC)
    shown = {}
    for package in packages(features, target):
        print(f"{package['name']} {package['version']}: {package['license']}, {package['repository'] or 'no address'}")
        found = texts(Path(package["manifest_path"]).parent)
        if not found:
            print("    (its package has no licence text)")
        for text in found:
            number = shown.setdefault(text, len(shown) + 1)
            print(f"    text {number} below")
    for text, number in shown.items():
        print(f"\n{'=' * 20} text {number}\n\n{text}")


if sys.argv[1] == "--sbom":
    bill(*sys.argv[2:])
else:
    notices(*sys.argv[1:])

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What the preload takes from others, gives to others, and asks of the loader.

usage: symbols.py LIBRARY ALLOWED EXPORTED
"""

import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
from harness import Tap  # noqa: E402

TLS_MAX = 256  # bytes of static TLS: the loader's surplus is small


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode()


def names(path):
    with open(path, encoding="utf-8") as f:
        return {line.split()[0] for line in f if line.strip() and line[0] != "#"}


def symbols(library, which):
    out = run("nm", "-D", which, library)
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def main():
    library, allowed, exported = sys.argv[1:]
    tap = Tap()
    undefined = symbols(library, "--undefined-only")
    tap.ok(undefined, "it has undefined symbols: this test is not blind")
    extra = sorted(undefined - names(allowed))
    tap.ok(not extra, "takes nothing that is not allowed", extra)
    defined, wanted = symbols(library, "--defined-only"), names(exported)
    tap.ok(defined == wanted, "exports the wrapped names and nothing else",
           [f"+{n}" for n in sorted(defined - wanted)] + [f"-{n}" for n in sorted(wanted - defined)])
    dynamic = run("readelf", "-dW", library)
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", dynamic)
    tap.ok(set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"},
           "needs libc alone", needed)
    for flag in ("INITFIRST", "NODELETE", "NOW"):
        tap.ok(re.search(rf"FLAGS_1.*\b{flag}\b", dynamic), f"is marked {flag}")
    tap.ok("TEXTREL" not in dynamic, "has no text relocations")
    headers = run("readelf", "-lW", library)
    tls = re.search(r"^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x\w+)", headers, re.M)
    size = int(tls.group(1), 16) if tls else 0
    tap.ok(0 < size <= TLS_MAX, f"{size} bytes of static TLS, at most {TLS_MAX}")
    relocs = run("readelf", "-rW", library)
    dynamic_tls = [line for line in relocs.splitlines() if re.search("DTPMOD|TLSDESC", line)]
    tap.ok(not dynamic_tls, "no thread variable is looked up at run time", dynamic_tls)
    tap.ok(not re.search(r"LOAD.*RWE", headers), "nothing is writable and executable")
    tap.done()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""The command line of a bench: which figures, how often, and the table of them."""
import argparse
import fcntl
import json
import os
import sys
import tempfile

from harness import Bench, CannotRun, Figure, say

LOCK = "/tmp/cowtrace-bench.lock"


def table(figures):
    head = ("figure", "untraced", "traced", "ratio or value", "spread", "limit", "")
    rows = [head] + [f.row() for f in figures]
    width = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for r in rows:
        print("  ".join(c.ljust(w) for c, w in zip(r, width)).rstrip())


def main(doc, measures):
    """measures: (name, function of a Bench) in the order of the table."""
    names = [n for n, _ in measures]
    ap = argparse.ArgumentParser(description=doc.splitlines()[0])
    ap.add_argument("--build", default="build", help="build directory (default: build)")
    ap.add_argument("--only", help="comma-separated, of: " + ", ".join(names))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--json", help="also write the figures to this file")
    args = ap.parse_args()
    only = args.only.split(",") if args.only else names
    unknown = [n for n in only if n not in names]
    if unknown:
        ap.error("no such figure: %s (there are: %s)" % (unknown[0], ", ".join(names)))
    cowtrace = os.path.join(os.path.abspath(args.build), "cli", "cowtrace")
    if not os.access(cowtrace, os.X_OK):
        sys.stderr.write("run: no %s: build first, or say --build DIR\n" % cowtrace)
        return 2

    lock = open(LOCK, "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    figures = []
    with tempfile.TemporaryDirectory(prefix="cowtrace-bench-") as tmp:
        # Other users run programs from here.
        os.chmod(tmp, 0o755)
        bench = Bench(os.path.abspath(args.build), tmp, args.rounds)
        for name, measure in measures:
            if name not in only:
                continue
            say("%s ..." % name)
            try:
                figures += measure(bench)
            except CannotRun as e:
                figures.append(Figure(name, skipped=str(e)))
    table(figures)
    if args.json:
        with open(args.json, "w") as f:
            json.dump([fig.as_json() for fig in figures], f, indent=1)
            f.write("\n")
    return 1 if any(f.ok() is False for f in figures) else 0

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""forkload, untraced: what it knows by construction is what its page frames say."""

import collections
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

MODES = (["--threads", "1"], ["--threads", "8"], ["--huge"], ["--huge", "--threads", "8", "--kill"],
         ["--pair", "--threads", "2"])


def disagreements(truth):
    if truth["moved_pages"]:
        yield f"the kernel moved {truth['moved_pages']} pages meanwhile"
    if truth["bad_births"]:
        yield f"{truth['bad_births']} pages were not the parent's at a child's birth"
    for fork in truth["forks"]:
        for row in fork["regions"]:
            unsure = row["copied"] - row["expected_copied"]
            if unsure < 0 or (unsure and row["region"] != "thp"):
                yield f"fork {fork['id']} {row['side']} {row['region']}: copied {row['copied']}, " \
                      f"expected {row['expected_copied']}"
    if not truth["ok"]:
        yield "it says so itself"


def lost_writes(truth):
    """Every copy is some fork's first write of that page, by the function that made it."""
    first = collections.Counter()
    for fork in truth["forks"]:
        for row in fork["first_writes"]:
            first[row["function"]] += row["copied"]
    for row in truth["writers"]:
        if first[row["function"]] != row["copied"]:
            yield f"{row['function']}: {row['copied']} copies, {first[row['function']]} as first writes"


def run(options):
    """One run that the kernel did not disturb, of ten at most."""
    for _ in range(10):
        done = subprocess.run([harness.program("FORKLOAD"), *options], stdout=subprocess.PIPE,
                              timeout=60, check=False)
        truth = json.loads(done.stdout)
        if not truth["moved_pages"]:
            break
    return done.returncode, truth


def main():
    tap = harness.Tap()
    with harness.settled_pages():
        for options in MODES:
            status, truth = run(options)
            wrong = [*disagreements(truth), *lost_writes(truth)]
            copied = sum(r["copied"] for f in truth["forks"] for r in f["regions"])
            tap.ok(status == 0 and not wrong and copied > 300,
                   f"forkload {' '.join(options)}: {copied} copies", wrong)
    tap.done()


if __name__ == "__main__":
    main()

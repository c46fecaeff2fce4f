#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A thread that signals take out of its faults: it is known where it stands all the same,
because it faults again: usage: storm.py RUNS
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness


def check(pages, rep):
    """What is wrong."""
    seen = sum(site["copies"] for site in rep["sites"] if site["side"] == "parent" and
               any(frame["function"] == "storm_write" for frame in site["frames"]))
    # A write at the place where its thread was asked before, and has not answered yet, is
    # taken for the kernel's on the way into a handler.
    taken = sum(row["unattributed"].get("kernel_write", 0) for row in rep["reconcile"])
    if not pages - taken <= seen <= pages:
        yield f"{seen} copies by storm_write, {taken} by the kernel, and there were {pages}"
    for row in rep["reconcile"]:
        # A signal of theirs may come between the look and the stack; never before it.
        if row["unattributed"].get("no_stack"):
            yield f"fork {row['fork_id']} {row['side']}: {row['unattributed']}"


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/userfaultfd"):
        harness.skip("needs root and /dev/userfaultfd (Linux 6.1)")
    tap = harness.Tap()
    with harness.folder() as where, harness.settled_pages():
        for nr in range(int(sys.argv[1])):
            trace = os.path.join(where, f"{nr}.cowtrace")
            run = harness.record(trace, [harness.program("STORMWRITE")],
                                 options=["--quiet", "--engine", "uffd"])
            wrong = [f"status {run.status}", *run.err().splitlines()] if run.status else \
                list(check(int(run.out()), harness.report(trace)))
            tap.ok(not wrong, f"run {nr + 1}", wrong)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Forks while eight threads write: each copy is some site's, but for those made in the
time of the clone itself, or by a thread that the kernel had woken in vain; and these are
few: usage: busy.py RUNS
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

THREADS, PAGES, FORKS = 8, 4096, 2
UNSITED = 1 / 10000


def check(truth, rep):
    """What is wrong, and how many copies have no site."""
    seen = sum(site["copies"] for site in rep["sites"] if site["side"] == "parent" and
               any(frame["function"] == "busy_write" for frame in site["frames"]))
    wrong, missing, window = [], {}, 0
    for row in rep["reconcile"]:
        if row["side"] != "parent" or row["fork_id"] is None:
            continue
        if row["copied"] != row["attributed"] + sum(row["unattributed"].values()):
            wrong.append(f"fork {row['fork_id']}: copied {row['copied']}, but {row['attributed']} "
                         f"+ {row['unattributed']}")
        for reason, pages in row["unattributed"].items():
            missing[reason] = missing.get(reason, 0) + pages
    window = missing.pop("fork_window", 0) + missing.pop("blocked_signal", 0)
    missing.pop("file_private", None)
    # Each thread's control block and the top of its stack: the kernel writes to the one
    # as the thread is scheduled, busy_write() to the other.
    own = THREADS * truth["forks"]
    unsited = missing.get("kernel_write", 0)
    if unsited <= own:
        missing.pop("kernel_write", None)
    if len(rep["forks"]) != truth["forks"]:
        wrong.append(f"{len(rep['forks'])} forks, and there were {truth['forks']}")
    # What is in the window may be another page of a thread than these.
    if not truth["copies"] - window - unsited <= seen <= truth["copies"] + own:
        wrong.append(f"{seen} copies by busy_write, {window} without a site, and there were "
                     f"{truth['copies']}")
    if any(missing.values()):
        wrong.append(f"unattributed {missing}")
    return wrong, window


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/userfaultfd"):
        harness.skip("needs root and /dev/userfaultfd (Linux 6.1)")
    tap, copies, window = harness.Tap(), 0, 0
    with harness.folder() as where, harness.settled_pages():
        for nr in range(int(sys.argv[1])):
            trace = os.path.join(where, f"{nr}.cowtrace")
            run = harness.record(trace, [harness.program("BUSYFORK"), str(THREADS), str(PAGES),
                                         str(FORKS)], options=["--quiet", "--engine", "uffd"])
            if run.status:
                tap.ok(False, f"run {nr + 1}", [f"status {run.status}", *run.err().splitlines()])
                continue
            truth = json.loads(run.out())
            wrong, few = check(truth, harness.report(trace))
            tap.ok(not wrong, f"run {nr + 1}: {truth['copies']} copies, {few} without a site", wrong)
            copies, window = copies + truth["copies"], window + few
    tap.ok(window <= copies * UNSITED, f"{window} of {copies} copies without a site")
    tap.done()


if __name__ == "__main__":
    main()

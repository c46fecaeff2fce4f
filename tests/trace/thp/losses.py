#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Huge pages lost, one cause a case: cowtrace names the cause and the function, and counts
as many as thploser lost by its own account and by thp_split_pmd and AnonHugePages.

usage: losses.py RUNS [CAUSE...]
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

UNITS = 6

# What thploser does: engine, the cause in the report, the function, of whose huge pages.
CASES = {
    "write_after_fork": ("uffd", "write_after_fork", "write_after_fork"),
    "child_write": ("uffd", "write_after_fork", "write_in_child"),
    "write_alone": ("uffd", None, None),
    "write_after_fork perf": ("perf", "write_after_fork", "write_after_fork"),
    "child_write perf": ("perf", "write_after_fork", "write_in_child"),
    "write_alone perf": ("perf", None, None),
    # Without an engine it is only seen that they have gone.
    "write_after_fork census": ("census", "unknown", None),
    "child_write census": ("census", "unknown", None),
    "munmap": ("census", "munmap", "lose_munmap"),
    "munmap_head": ("census", "munmap", "lose_munmap_head"),
    "mmap": ("census", "mmap", "lose_mmap"),
    "dontneed": ("census", "madvise_dontneed", "lose_dontneed"),
    "free": ("census", "madvise_free", "lose_free"),
    "cold": ("census", "madvise_cold", "lose_cold"),
    "pageout": ("census", "madvise_pageout", "lose_pageout"),
    "nohugepage": ("census", "madvise_nohugepage", "lose_nohugepage"),
    "dontfork": ("census", "madvise_dontfork", "lose_dontfork"),
    "mergeable": ("census", "madvise_mergeable", "lose_mergeable"),
    "random": ("census", "madvise_random", "lose_random"),
    "mprotect": ("census", "mprotect", "lose_mprotect"),
    "mlock": ("census", "mlock", "lose_mlock"),
    "munlock": ("census", "munlock", "lose_munlock"),
    "mremap": ("census", "mremap", "lose_mremap"),
    "mremap_part": ("census", "mremap", "lose_mremap_part"),
    "shrink": ("census", "mremap", "lose_shrink"),
    "over": ("census", "mremap", "lose_over"),
    "name": ("census", "vma_name", "lose_name"),
    "mbind": ("census", "mbind", "lose_mbind"),
    "nothing": ("census", None, None),
}


def functions_of(rep, loss):
    for site in rep["sites"]:
        if site["site_id"] == loss["site_id"]:
            return [f["function"] for f in site["frames"]]
    return []


def check(rep, truth, cause, function):
    """What is wrong with the report."""
    losses = [l for l in rep["thp_losses"]]
    for l in losses:
        if l["cause"] != cause:
            yield f"a loss by {l['cause']}: {l}"
        elif function and function not in functions_of(rep, l):
            yield f"not in {function}: {functions_of(rep, l)}"
        if l["bytes"] != l["events"] << 21:
            yield f"{l['events']} events, {l['bytes']} bytes"
        # Regions are found at forks.
        if l["region"] is None and l["cause"] == "write_after_fork":
            yield f"of no region: {l}"
    if sum(l["events"] for l in losses) != truth["units"]:
        yield f"{sum(l['events'] for l in losses)} of {truth['units']} units"


def check_copies(rep, name, engine):
    got = sum(l["copies"] or 0 for l in rep["thp_losses"])
    want = {"write_after_fork": 3 * UNITS, "child_write": UNITS}.get(name, 0)
    if engine == "census":
        want = 0
    if got != want:
        yield f"{got} copies of what was lost, and there were {want}"


def lost_by_kernel(truth, name):
    """Does the kernel say what thploser says?  Else somebody else split pages meanwhile."""
    gone = truth["huge_before"] - truth["huge_after"]
    # The child's are not in the parent's smaps; what is moved as a whole is looked for no more.
    ours = {"child_write": 0, "nothing": UNITS}.get(name.split()[0], truth["units"])
    return truth["huge_before"] == UNITS and truth["split_pmd"] == truth["units"] and gone == ours


def run_case(name, where, nr):
    engine, cause, function = CASES[name]
    for _ in range(40):
        trace = os.path.join(where, f"{nr}.cowtrace")
        run = harness.record(trace, [harness.program("THPLOSER"), name.split()[0], str(UNITS)],
                             options=["--quiet", "--engine", engine])
        if run.status == 77:
            print(f"# {name}: {run.err().strip()}: not in this kernel")
            return []
        if run.status == 125 and engine == "perf":
            print(f"# {name}: {run.err().strip()}")
            return []
        if run.status:
            return [f"status {run.status}", *run.err().splitlines()]
        truth = json.loads(run.out())
        if lost_by_kernel(truth, name):
            rep = harness.report(trace)
            wrong = [*check(rep, truth, cause, function), *check_copies(rep, name.split()[0], engine)]
            if wrong and os.environ.get("KEEP"):
                os.system(f"cp {trace}* {os.environ['KEEP']}/")
            return wrong
        print(f"# {name}: {truth}: others split pages meanwhile: once more")
    return ["others split pages in forty runs of forty"]


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/userfaultfd"):
        harness.skip("the uffd engine is for root, with /dev/userfaultfd (Linux 6.1)")
    if not os.path.exists(harness.THP):
        harness.skip("this kernel has no transparent huge pages")
    runs, names = int(sys.argv[1]), sys.argv[2:] or list(CASES)
    tap = harness.Tap()
    with harness.folder() as where, harness.settled_pages():
        for nr in range(runs):
            for name in names:
                wrong = run_case(name, where, tap.nr)
                tap.ok(not wrong, f"{name} run {nr + 1}", wrong)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The census against forkload's own truth, fork by fork, side by side, region by
region: equal, not close.

usage: exact.py fast
       exact.py root RUNS FORKLOAD-OPTION...    page frames: every count equal
       exact.py user RUNS FORKLOAD-OPTION...    an ordinary user: bounds that hold
       exact.py moving RUNS FORKLOAD-OPTION...  while the kernel moves pages about: a
                                                frame that changed is not yet a copy
"""

import contextlib
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

COMPACT = "/proc/sys/vm/compact_memory"
NOBODY = 65534
COUNTS = ("shared", "huge", "copied", "dropped", "new")
# What lies outside forkload's regions: libc's data, the stack's end, TLS.
OTHER_PAGES = 96


def overlap(row, region):
    return row["start"] < region["end"] and region["start"] < row["end"]


def rows_of(fork, regions, truth):
    """The report's rows for one of forkload's regions, on one side."""
    found = []
    for row in fork["regions"]:
        region = regions[row["region"]]
        if row["side"] == truth["side"] and region["name"] == truth["region"] and \
                overlap(truth, region):
            found.append((row, region))
    return found


def check_region(fork, regions, truth, kinds):
    rows = rows_of(fork, regions, truth)
    where = f"fork {fork['id']} {truth['side']} {truth['region']}"
    # A region to which nothing happened has no row.
    if not rows and not any(truth[count] for count in ("copied", "dropped", "new")):
        return
    if not rows:
        yield f"{where}: not in the report"
    cut = sum(region["end"] - region["start"] for _, region in rows) < \
        truth["end"] - truth["start"]
    for count in COUNTS:
        got = sum(row[count] or 0 for row, _ in rows)
        # What the parent newly fills is no consequence of its fork, and counted until
        # the recorder has seen the last relative go.
        if count == "new" and truth["side"] == "parent":
            continue
        # Where it was cut in pieces, those to which nothing happened have no row.
        if count in ("shared", "huge") and cut and got < truth[count]:
            continue
        if got != truth[count]:
            yield f"{where}: {count} {got}, and it is {truth[count]}"
    for row, region in rows:
        if row.get("unknown"):
            yield f"{where}: {row['unknown']} unknown"
        if region["kind"] != kinds[truth["region"]]:
            yield f"{where}: kind {region['kind']}, and it is {kinds[truth['region']]}"
        if region["kind"] in ("anon", "heap") and not region["tagged"]:
            yield f"{where}: not tagged, and the program mapped it before our eyes"


def check_sums(fork):
    """A fork's totals are the sums of its regions."""
    for side in ("parent", "child"):
        total = fork[side]
        for count in ("copied", "dropped", "new"):
            if count not in total or total[count] is None:
                continue
            rows = [r[count] or 0 for r in fork["regions"] if r["side"] == side]
            if sum(rows) != total[count]:
                yield f"fork {fork['id']} {side}: {count} {total[count]}, " \
                      f"its regions {sum(rows)}"
        shared = sum(r["shared"] for r in fork["regions"] if r["side"] == side)
        if shared > fork["pages_shared"]:
            yield f"fork {fork['id']} {side}: {fork['pages_shared']} pages shared, " \
                  f"its regions {shared}"


def match_forks(truth, rep):
    by_pids = {(f["parent_pid"], f["child_pid"]): f for f in rep["forks"]}
    for t in truth["forks"]:
        yield t, by_pids.get((t["parent_pid"], t["child_pid"]))


def exact(truth, rep):
    """Every way in which the report differs from the truth."""
    regions = {r["id"]: r for r in rep["regions"]}
    kinds = {r["name"]: r["kind"] for r in truth["regions"]}
    if len(rep["forks"]) != len(truth["forks"]):
        yield f"{len(rep['forks'])} forks, and there were {len(truth['forks'])}"
    for t, fork in match_forks(truth, rep):
        if fork is None:
            yield f"fork {t['id']} (pid {t['parent_pid']} to {t['child_pid']}): not there"
            continue
        for row in t["regions"]:
            yield from check_region(fork, regions, row, kinds)
        huge = sum(r["huge"] for r in t["regions"] if r["side"] == "parent")
        if fork["huge_pages_shared"] != huge:
            yield f"fork {fork['id']}: {fork['huge_pages_shared']} huge pages shared, " \
                  f"and it is {huge}"
        yield from check_killed(t, fork)
        yield from check_sums(fork)


def check_killed(t, fork):
    killed = t["child_ends"] == "killed"
    if killed != (fork["child"]["copied"] is None):
        yield f"fork {fork['id']}: child ended by {t['child_ends']}, copied is " \
              f"{fork['child']['copied']}"


def bounds(truth, rep, pair):
    for t, fork in match_forks(truth, rep):
        if fork is None:
            yield f"fork {t['id']}: not there"
            continue
        copied = sum(r["copied"] for r in t["regions"])
        low, high = fork["copied_total"]["min"], fork["copied_total"]["max"]
        where = f"fork {fork['id']}: copied {low} to {high}"
        if t["child_ends"] == "killed":
            continue
        if low > copied + OTHER_PAGES:
            yield f"{where}, and it is {copied}: the lower bound is too high"
        if high < copied:
            yield f"{where}, and it is {copied}: the upper bound is too low"
        if pair and low != high:
            yield f"{where}: two processes shared, the bounds must meet"


@contextlib.contextmanager
def compaction():
    """The kernel migrates pages, over and over."""
    over = threading.Event()

    def loop():
        while not over.is_set():
            harness.write_file(COMPACT, "1")
            over.wait(0.005)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def moving_side(fork, regions, rows):
    """
    One side of a fork while pages move.  No copy is overlooked, in any region;
    and there are no more of them than there were.  Among pages that cannot be told
    apart it is unknown which were copied, so the latter holds of the sum.
    """
    copied = unknown = expected = unsure = 0
    for row in rows:
        found = [r for r, _ in rows_of(fork, regions, row)]
        low, doubtful = (sum(r[count] for r in found) for count in ("copied", "unknown"))
        copied, unknown = copied + low, unknown + doubtful
        expected, unsure = expected + row["expected_copied"], unsure + row["unsure"]
        if low + doubtful < row["expected_copied"]:
            yield f"fork {fork['id']} {row['side']} {row['region']}: copied {low} to " \
                  f"{low + doubtful}, and it is {row['expected_copied']}"
    elsewhere = fork[rows[0]["side"]]["unknown"] - unknown
    if copied > expected + unsure + elsewhere:
        yield f"fork {fork['id']} {rows[0]['side']}: copied {copied}, and it is {expected}"


def moving(truth, rep, without_pause):
    """Never more copies than there were; what is missing is unknown, and not all is."""
    regions = {r["id"]: r for r in rep["regions"]}
    for t, fork in match_forks(truth, rep):
        if fork is None:
            yield f"fork {t['id']}: not there"
            continue
        for side in ("parent", "child"):
            rows = [r for r in t["regions"] if r["side"] == side]
            if rows and fork[side]["copied"] is not None:
                yield from moving_side(fork, regions, rows)
    copied, unknown = (sum(f[side][count] or 0 for f in rep["forks"] for side in ("parent", "child"))
                       for count in ("copied", "unknown"))
    # Compaction without a pause is the worst there is; even so, not all is unknown.
    if without_pause and copied < unknown / 4:
        yield f"{unknown} unknown, {copied} copied: nothing can be told while pages move"


def run_once(mode, options, where, nr):
    """One recording: forkload's word, the report, and what is wrong already."""
    trace = os.path.join(where, f"{nr}.cowtrace")
    prefix = []
    if mode == "user" and os.geteuid() == 0:
        prefix = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    run = harness.record(trace, [harness.program("FORKLOAD"), *options], prefix=prefix,
                         options=["--quiet", "--engine", "census"])
    truth = json.loads(run.out() or "null")
    # forkload reads frames too: when they change under its feet it says so by its status.
    if not truth or (run.status and not truth["moved_pages"]):
        return truth, None, [f"status {run.status}", *run.err().splitlines()]
    if truth["pfn"] != (mode != "user"):
        return truth, None, [f"forkload sees page frames: {truth['pfn']}"]
    rep = harness.report(trace)
    return truth, rep, [] if rep["complete"] else [f"incomplete: {rep['why_incomplete']}"]


def judge(mode, options, truth, rep):
    if mode == "user":
        return list(bounds(truth, rep, "--pair" in options))
    # Pages moved: frames do not tell the truth, construction still does.
    if truth["moved_pages"]:
        return list(moving(truth, rep, mode == "moving"))
    if not truth["ok"]:
        return ["forkload contradicts itself"]
    return list(exact(truth, rep))


def run_case(mode, options, where, nr):
    """
    What is wrong.  A run in which the kernel moved pages (for a huge page of
    somebody's, say) is judged as such, and another one taken for the exact count.
    """
    for _ in range(10):
        truth, rep, wrong = run_once(mode, options, where, nr)
        if rep:
            wrong += judge(mode, options, truth, rep)
        if wrong and os.environ.get("KEEP"):
            os.system(f"cp {where}/{nr}.cowtrace* {os.environ['KEEP']}/")
        if wrong or mode != "root" or not truth["moved_pages"]:
            return wrong
        print(f"# the kernel moved {truth['moved_pages']} pages meanwhile: once more")
    return ["the kernel moved pages in ten runs of ten"]


# A little of everything; the slow suite does each fifty times.
FAST = [("root", 3, ["--threads", "8", "--huge", "--kill"]), ("root", 1, ["--threads", "1"]),
        ("user", 1, ["--threads", "8", "--huge"]), ("user", 1, ["--pair"])]


def main():
    if sys.argv[1:] == ["fast"]:
        todo = FAST
    else:
        todo = [(sys.argv[1], int(sys.argv[2]), sys.argv[3:])]
    tap = harness.Tap()
    if sys.argv[1] == "moving" and not os.access(COMPACT, os.W_OK):
        harness.skip("the kernel cannot be told to compact memory")
    if os.geteuid() != 0:
        todo = [(mode, runs, options) for mode, runs, options in todo if mode == "user"]
        if not todo:
            harness.skip("page frames are for root only")
    with harness.folder() as where, harness.settled_pages():
        for mode, runs, options in todo:
            for nr in range(runs):
                with compaction() if mode == "moving" else contextlib.nullcontext():
                    wrong = run_case(mode, ["--tag", *options], where, tap.nr)
                tap.ok(not wrong, f"{mode} {' '.join(options)} run {nr + 1}", wrong)
    tap.done()


if __name__ == "__main__":
    main()

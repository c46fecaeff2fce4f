# SPDX-License-Identifier: MIT
"""
An engine's call sites against forkload's own truth: of each writing function, on each
side of its forks, as many copies and as many reuses; and the account that every report
must keep.
"""

import collections
import json
import os
import re

import harness

WRITER = re.compile(r"w_[a-z]+_(parent|child|grandchild)$")
# Of all copies of all runs, at most these have no call site, with several threads: made
# between arming and clone; or the kernel had woken the thread in vain (a lock that it had
# waited for), and it wrote before our signal came.  One thread: none.
UNSITED = 1 / 10000
# Pages of a thread that the kernel may write to first.
KERNEL_PAGES = 2
# Of the verdicts that were certain, so many came true.
AGREEMENT = 0.999


class Uffd:
    """Sees all but private mappings of files; predicts; a fork has a window."""
    name = "uffd"

    @staticmethod
    def sees(region, kind):
        return kind != "file_private"

    @staticmethod
    def check_reasons(rep, row, threads, tally):
        return check_uffd_reasons(rep, row, threads, tally)

    @staticmethod
    def check_verdicts(rep, tally):
        return check_agreement(rep, tally)


class Perf:
    """Sees all that the program's own code writes, after the fact."""
    name = "perf"

    @staticmethod
    def sees(region, kind):
        return region != "read"

    @staticmethod
    def check_reasons(rep, row, threads, tally):
        return check_perf_reasons(rep, row, threads, tally)

    @staticmethod
    def check_verdicts(rep, tally):
        return check_no_prediction(rep, tally)


class Tally:
    """What all runs of one mode come to."""

    def __init__(self):
        self.copied = self.unsited = self.certain = self.equal = 0
        self.wrong = []


def expected(engine, truth):
    """(function, side) -> [copies, reuses, unsure], of memory that the engine sees."""
    kinds = {r["name"]: r["kind"] for r in truth["regions"]}
    want = collections.defaultdict(lambda: [0, 0, 0])
    for fork in truth["forks"]:
        for row in fork["first_writes"]:
            if not engine.sees(row["region"], kinds[row["region"]]):
                continue
            # A child that was killed has its sites all the same, but forkload does not know them.
            count = want[row["function"], row["side"]]
            for i, key in enumerate(("copied", "reused", "unsure")):
                count[i] += row[key]
    return want


def late(engine, truth):
    """Function -> first writes by the parent of all after the last relative's end."""
    kinds = {r["name"]: r["kind"] for r in truth["regions"]}
    return {row["function"]: row["pages"] for row in truth["late_writes"]
            if engine.sees(row["region"], kinds[row["region"]])}


def writer_of(site):
    for frame in site["frames"]:
        if WRITER.match(frame["function"] or ""):
            return frame["function"]
    return None


def seen(rep):
    """(function, side) -> [copies, reuses, unknown], of the functions that are forkload's writers."""
    got = collections.defaultdict(lambda: [0, 0, 0])
    for site in rep["sites"]:
        if site["side"] and writer_of(site):
            count = got[writer_of(site), site["side"]]
            for i, key in enumerate(("copies", "reuses", "unknown")):
                count[i] += site[key]
    return got


def check_sites(engine, truth, rep):
    want, got, after = expected(engine, truth), seen(rep), late(engine, truth)
    for key in sorted(set(want) | set(got)):
        function, side = key
        copied, reused, unsure = want[key]
        copies, reuses, unknown = got[key]
        where = f"{function} ({side} side)"
        if not copied <= copies <= copied + unsure:
            yield f"{where}: {copies} copies, and there were {copied}" + \
                  (f" to {copied + unsure}" if unsure else "")
        # Written at the very instant when nobody shares any more: reused in any case, and
        # of the fork or of none, or gone before anybody looked, as the word of the last
        # relative's end comes.
        more = after.get(function, 0) if side == "parent" else 0
        if unknown > more:
            yield f"{where}: {unknown} unknown"
        first = copied + reused + unsure
        # forkload has those of what is kept from newer forks among the first writes; an
        # engine that compares with the fork's image has none to compare with by then.
        less = more if engine is Perf and "_dontfork_" in function else 0
        if not first - less <= copies + reuses <= first + more:
            yield f"{where}: {reuses} reuses beside {copies} copies, and there were " \
                  f"{first} first writes" + (f" and up to {more} more" if more else "")


def check_rows(rep):
    """What every site says of itself."""
    ids = [site["id"] for site in rep["sites"]]
    if len(ids) != len(set(ids)):
        yield "two sites have one id"
    for site in rep["sites"]:
        if not site["side"]:
            # It maps or forks, and writes nothing.
            if site["first_writes"]:
                yield f"site {site['id']}: {site['first_writes']} first writes on no side"
            continue
        total = site["copies"] + site["reuses"] + site["zero_filled"] + site["unknown"]
        if site["first_writes"] != total:
            yield f"site {site['id']}: {site['first_writes']} first writes, sum {total}"
        if site["copied_bytes"] != site["copies"] * harness.PAGE:
            yield f"site {site['id']}: {site['copied_bytes']} bytes, {site['copies']} pages"
        if site["first_writes"] and not site["frames"]:
            yield f"site {site['id']}: no frames"


def copied_in(rep, row, wanted):
    """Copies of one side of a fork in some regions, by the census."""
    regions = {r["id"]: r for r in rep["regions"]}
    for fork in rep["forks"]:
        if fork["id"] == row["fork_id"]:
            return sum(r["copied"] or 0 for r in fork["regions"]
                       if r["side"] == row["side"] and
                       wanted(regions[r["region"]]))
    return 0


def in_libc_alone(rep, row):
    """
    Copies of one side by an instruction of libc of which nothing more is known: it blocks
    every signal while it makes a thread.
    """
    return sum(site["copies"] for site in rep["sites"]
               if site["side"] == row["side"] and row["fork_id"] in site["fork_ids"] and
               len(site["frames"]) == 1 and "/libc.so" in (site["frames"][0]["module"] or ""))


def check_account(engine, rep, threads, tally):
    for row in rep["reconcile"]:
        reasons = row["unattributed"]
        if row["fork_id"] is None or row["copied"] is None:
            continue
        where = f"fork {row['fork_id']} {row['side']}"
        if row["copied"] != row["attributed"] + sum(reasons.values()):
            yield f"{where}: copied {row['copied']}, but {row['attributed']} + {reasons}"
        tally.copied += row["copied"]
        for wrong in engine.check_reasons(rep, row, threads, tally):
            yield f"{where}: {wrong}"


def check_uffd_reasons(rep, row, threads, tally):
    reasons = row["unattributed"]
    files = copied_in(rep, row, lambda region: region["kind"] == "file_private")
    if reasons.get("file_private", 0) != files:
        yield f"file_private {reasons.get('file_private', 0)}, and it is {files}"
    window = reasons.get("fork_window", 0)
    if window and threads == 1:
        yield f"{window} pages in the fork window of a single thread"
    other = {k: v for k, v in reasons.items() if v and k not in ("file_private", "fork_window")}
    moved_on = other.pop("blocked_signal", 0) if threads > 1 else 0
    moved_on -= min(moved_on, in_libc_alone(rep, row))
    # Each thread's control block: the kernel writes to it as the thread is scheduled.
    if threads > 1 and other.get("kernel_write", 0) <= threads:
        other.pop("kernel_write", None)
    if other:
        yield f"unattributed {other}"
    tally.unsited += window + moved_on


def check_perf_reasons(rep, row, threads, _tally):
    reasons = row["unattributed"]
    read = copied_in(rep, row, lambda region: region["name"] == "read")
    kernel = reasons.get("kernel_write", 0)
    # And what the kernel writes to a thread's control block and its stack.
    if not read <= kernel <= read + KERNEL_PAGES * threads:
        yield f"kernel_write {kernel}, and read(2) copied {read}"
    other = {k: v for k, v in reasons.items() if v and k != "kernel_write"}
    # libc blocks every signal while it makes a thread and while it ends one.
    if threads > 1 and other.get("blocked_signal", 0) <= threads:
        other.pop("blocked_signal", None)
    if other:
        yield f"unattributed {other}"


def check_agreement(rep, tally):
    a = rep["agreement"]
    tally.certain += a["predicted_total"]
    tally.equal += a["predicted_equal"]
    tally.wrong += [json.dumps(d) for d in a["disagreements"]]
    if not a["predicted_total"]:
        yield "no verdict was certain"
    if a["predicted_total"] - a["predicted_equal"] != len(a["disagreements"]):
        yield f"{a['predicted_equal']} of {a['predicted_total']} verdicts came true, " \
              f"{len(a['disagreements'])} disagreements are listed"


def check_no_prediction(rep, _tally):
    a = rep["agreement"]
    if a["predicted_total"] or a["disagreements"]:
        yield f"{a['predicted_total']} verdicts were predicted, after the fact"


def run_once(engine, options, where, nr):
    """One recording: forkload's word, the report, and what is wrong already."""
    trace = os.path.join(where, f"{nr}.cowtrace")
    run = harness.record(trace, [harness.program("FORKLOAD"), "--tag", *options],
                         options=["--quiet", "--engine", engine.name])
    truth = json.loads(run.out() or "null")
    if not truth or (run.status and not truth["moved_pages"]):
        return truth, None, [f"status {run.status}", *run.err().splitlines()]
    rep = harness.report(trace)
    return truth, rep, [] if rep["complete"] else [f"incomplete: {rep['why_incomplete']}"]


def run_case(engine, options, where, nr, tally):
    """What is wrong.  Where the kernel moved pages, frames lie: another run is taken."""
    for _ in range(10):
        truth, rep, wrong = run_once(engine, options, where, nr)
        if rep and not truth["moved_pages"]:
            if not truth["ok"]:
                wrong.append("forkload contradicts itself")
            wrong += [*check_sites(engine, truth, rep), *check_rows(rep),
                      *check_account(engine, rep, truth["threads"], tally),
                      *engine.check_verdicts(rep, tally)]
        if wrong and os.environ.get("KEEP"):
            os.system(f"cp {where}/{nr}.cowtrace* {os.environ['KEEP']}/")
        if wrong or not truth["moved_pages"]:
            return wrong
        print(f"# the kernel moved {truth['moved_pages']} pages meanwhile: once more")
    return ["the kernel moved pages in ten runs of ten"]


def check_tally(tap, name, tally):
    # One page in ten thousand cannot be judged in a few runs with threads.
    least = 0 if "--threads 1" in name else 2
    tap.ok(tally.unsited <= max(tally.copied * UNSITED, least),
           f"{name}: {tally.unsited} of {tally.copied} copies without a site")


def run_all(engine, todo):
    """todo: (runs, forkload's options), of each."""
    tap = harness.Tap()
    with harness.folder() as where, harness.settled_pages():
        verdicts = Tally()
        for runs, options in todo:
            name, tally = " ".join(options), Tally()
            for nr in range(runs):
                wrong = run_case(engine, options, where, tap.nr, tally)
                tap.ok(not wrong, f"{name} run {nr + 1}", wrong)
            check_tally(tap, name, tally)
            verdicts.certain += tally.certain
            verdicts.equal += tally.equal
            verdicts.wrong += tally.wrong
        # Of all of them: one in a thousand cannot be judged in one run either.
        tap.ok(verdicts.equal >= verdicts.certain * AGREEMENT,
               f"{verdicts.equal} of {verdicts.certain} certain verdicts came true", verdicts.wrong)
    tap.done()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
One recording in many files: each is a trace, and all of them sum up.

usage: rotate.py CASE...
"""

import contextlib
import glob
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import listen
import recorder
from recorder import Listener, Program, harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "exact"))
import exact

COUNTS = ("copied", "dropped", "unknown")

# Both sides of one fork write and drop, by order: "parent write 3 5" is pages 3 to 7.
PAIR = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
PAGES = 512
area = mmap.mmap(-1, PAGES * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(PAGES * 4096), 15)
for page in range(PAGES):
    area[page * 4096] = 1
to_child, from_child = os.pipe(), os.pipe()
child = os.fork()
orders, answers = (sys.stdin, sys.stdout) if child else \\
    (os.fdopen(to_child[0]), os.fdopen(from_child[1], "w"))
if child:
    os.close(to_child[0])
    print(hex(at), child, flush=True)
else:
    os.close(to_child[1])
for line in orders:
    who, what, first, nr = line.split()
    if child and who == "child":
        os.write(to_child[1], line.encode())
        answer = os.read(from_child[0], 100)
    elif what == "write":
        for page in range(int(first), int(first) + int(nr)):
            area[page * 4096] = 2
    else:
        area.madvise(mmap.MADV_DONTNEED, int(first) * 4096, int(nr) * 4096)
    print("done", file=answers, flush=True)
if child:
    os.close(to_child[1])
    os.waitpid(child, 0)
os._exit(0)
"""


def whole_files(paths):
    """The reports, and what is wrong with any of them."""
    reps = [harness.report(path) for path in paths]
    wrong = [f"{path}: {text}" for path, rep in zip(paths, reps)
             for text in [*whole(rep), *dangling(path)]]
    return reps, wrong


def files_of(trace):
    """The older files, and the running one at the end."""
    return sorted(glob.glob(glob.escape(trace) + ".[0-9]*")) + [trace]


def merged_regions(reps):
    """Regions of all files, numbered anew: (new number by file and id, list)."""
    number, rows = {}, {}
    for nr, rep in enumerate(reps):
        for region in rep["regions"]:
            key = (region["pid"], region["start"], region["end"], region["name"], region["kind"])
            rows.setdefault(key, {**region, "id": len(rows) + 1})
            number[nr, region["id"]] = rows[key]["id"]
    return number, list(rows.values())


def add_side(total, part):
    for count in (*COUNTS, "new"):
        if total[count] is None or part[count] is None:
            total[count] = part[count] if total["ended"] == "next_file" else total[count]
        else:
            total[count] += part[count]
    total["ended"] = part["ended"]


def add_row(rows, part):
    """What a region shared at the fork stands where there is a row for it first."""
    for row in rows:
        if (row["region"], row["side"]) == (part["region"], part["side"]):
            for count in (*COUNTS, "new"):
                row[count] = (row[count] or 0) + (part[count] or 0)
            return
    rows.append(part)


def merged(reps):
    """What one file would have had."""
    number, regions = merged_regions(reps)
    forks = {}
    for nr, rep in enumerate(reps):
        for fork in rep["forks"]:
            rows = [{**row, "region": number[nr, row["region"]]} for row in fork["regions"]]
            if fork["id"] not in forks:
                forks[fork["id"]] = {**fork, "regions": rows}
                continue
            total = forks[fork["id"]]
            for row in rows:
                add_row(total["regions"], row)
            for side in ("parent", "child"):
                add_side(total[side], fork[side])
    return {"forks": list(forks.values()), "regions": regions}


# What a row names is in the same file; sums that must agree.
NAMED = {
    "call sites of forks": "SELECT count(*) FROM forks WHERE site AND site NOT IN"
                           " (SELECT site FROM frames)",
    "call sites of regions": "SELECT count(*) FROM regions WHERE site AND site NOT IN"
                             " (SELECT site FROM frames)",
    "call sites of calls": "SELECT count(*) FROM events WHERE site AND site NOT IN"
                           " (SELECT site FROM frames)",
    "call sites of writes": "SELECT count(*) FROM writes WHERE site AND site NOT IN"
                            " (SELECT site FROM frames)",
    "modules": "SELECT count(*) FROM frames WHERE module AND module NOT IN"
               " (SELECT id FROM modules)",
    "regions": "SELECT count(*) FROM region_counts WHERE region NOT IN (SELECT id FROM regions)",
    "processes of regions": "SELECT count(*) FROM regions WHERE process NOT IN"
                            " (SELECT id FROM processes)",
    "forks of counts": "SELECT count(*) FROM region_counts WHERE fork NOT IN"
                       " (SELECT id FROM forks)",
    "runs": "SELECT count(*) FROM forks WHERE runs_of AND runs_of NOT IN (SELECT id FROM forks)",
    "copies by reason": "SELECT count(*) FROM sides WHERE copied IS NOT NULL AND copied <>"
                        " attributed + coalesce((SELECT sum(pages) FROM unattributed u"
                        " WHERE u.fork = sides.fork AND u.side = sides.side), 0)"
                        " AND (SELECT value FROM meta WHERE key = 'engine') = 'uffd'",
    "unknown metas": "SELECT 5 - count(*) FROM meta WHERE key IN"
                     " ('command', 'engine', 'cowtrace', 'start_time', 'kernel')",
}


def dangling(path):
    """Rows that name what is not in their file."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        for what, sql in NAMED.items():
            nr = db.execute(sql).fetchone()[0]
            if nr:
                yield f"{what}: {nr}"


def whole(rep):
    """What is wrong with a file by itself."""
    if not rep["complete"]:
        yield f"incomplete: {rep['why_incomplete']}"
    known = {p["id"] for p in rep["processes"]}
    for fork in rep["forks"]:
        if not {fork["parent_id"], fork["child_id"]} <= known:
            yield f"fork {fork['id']}: its processes are not in the file"
        yield from exact.check_sums(fork)
        if fork["carried"] and fork["start_ns"] >= rep["file_start_ns"]:
            yield f"fork {fork['id']}: carried, and began here"
        for side in ("parent", "child"):
            counts = [fork[side][count] for count in (*COUNTS, "kept")]
            if None not in counts and sum(counts) > fork["pages_shared"]:
                yield f"fork {fork['id']} {side}: {counts} of {fork['pages_shared']}"


class Pair:
    """PAIR, under the preload: orders to both sides of its fork."""

    def __init__(self, path):
        self.process = subprocess.Popen([sys.executable, "-c", PAIR], text=True,
                                        env=recorder.environment(path), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        start, child = self.process.stdout.readline().split()
        self.start, self.child = int(start, 16), int(child)

    def tell(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "done\n":
            raise RuntimeError(f"{order}: no answer")

    def end(self):
        self.process.communicate(timeout=60)

    def counts(self, fork, rep, side):
        """(copied, dropped) of its memory."""
        regions = {r["id"]: r for r in rep["regions"]}
        rows = [row for row in fork["regions"] if row["side"] == side and
                regions[row["region"]]["start"] < self.start + 512 * 4096 and
                regions[row["region"]]["end"] > self.start]
        return sum(r["copied"] for r in rows), sum(r["dropped"] for r in rows)


def wait_for_look(trace):
    """Until both sides of the one fork have been looked at anew, from now on."""
    def newest():
        with contextlib.closing(sqlite3.connect(f"file:{trace}?mode=ro", uri=True)) as db:
            return [t for (t,) in db.execute("SELECT t_ns FROM sides ORDER BY side")]

    # A look that was under way does not count: two more of each.
    for _ in range(2):
        before = newest()
        harness.wait_until(lambda: len(newest()) == 2 and len(before) in (0, 2) and
                           all(n > b for n, b in zip(newest(), before or [0, 0])), 60,
                           "a look at both sides")


def next_file(rec):
    """SIGHUP, and until it has happened."""
    before = len(files_of(rec.trace))
    rec.process.send_signal(signal.SIGHUP)
    harness.wait_until(lambda: len(files_of(rec.trace)) > before and os.path.exists(rec.trace), 60,
                       "another file")


STEPS = [
    ["parent write 0 40", "child write 100 7"],
    ["parent write 40 5", "child write 107 20", "child drop 200 30"],
    [],
    # Copied in the first file, dropped in the fourth: a copy there, and nothing here.
    ["parent drop 0 10", "child write 300 9"],
    ["parent write 400 11"],
]
# Of each file: parent copied, dropped, child copied, dropped.
WANTED = [(40, 0, 7, 0), (5, 0, 20, 30), (0, 0, 0, 0), (0, 0, 9, 0), (11, 0, 0, 0)]


def steps(tap, where):
    """A fork that lives through five files: each counts what came while it ran."""
    if os.geteuid() != 0:
        harness.skip("page frames are for root only")
    with harness.settled_pages():
        rec = Listener(where, ["--quiet", "--engine", "census"])
        harness.wait_until(lambda: os.path.exists(rec.path), 60, "the socket")
        pair = Pair(rec.path)
        wait_for_look(rec.trace)
        for nr, orders in enumerate(STEPS):
            for order in orders:
                pair.tell(order)
            if orders and nr < len(STEPS) - 1:
                wait_for_look(rec.trace)
            if nr < len(STEPS) - 1:
                next_file(rec)
        pair.end()
        status = rec.stop()
    reps, wrong = whole_files(files_of(rec.trace))
    tap.ok(status == 0 and len(reps) == len(STEPS), "steps: five files",
           [f"status {status}, {len(reps)} files", rec.err()])
    tap.ok(not wrong, "steps: each stands alone", wrong)
    for nr, rep in enumerate(reps):
        wrong = []
        if len(rep["forks"]) != 1:
            tap.ok(False, f"steps: file {nr + 1}: one fork", [str(rep["forks"])])
            continue
        fork = rep["forks"][0]
        got = (*pair.counts(fork, rep, "parent"), *pair.counts(fork, rep, "child"))
        tap.ok(got == WANTED[nr], f"steps: file {nr + 1}: the counts",
               [f"{got}, and it is {WANTED[nr]}"])
        last = nr == len(reps) - 1
        if fork["carried"] != (nr > 0) or (fork["child"]["ended"] == "next_file") == last:
            wrong.append(f"carried {fork['carried']}, child {fork['child']['ended']}")
        if rep["file"] != (nr + 1 if nr else None) or rep["next_file"] != (None if last else nr + 2):
            wrong.append(f"file {rep['file']}, next {rep['next_file']}")
        tap.ok(not wrong, f"steps: file {nr + 1} says which it is", wrong)
    text = subprocess.run([harness.program("COWTRACE"), "report", files_of(rec.trace)[1]],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    tap.ok("File 2 of a recording in many" in text and
           "1 of its forks began in an older file, and 1 go on" in " ".join(text.split()),
           "steps: the text says what it counts", text.splitlines()[:8])


def sums(tap, where):
    """forkload again and again, and a new file every moment: all files sum up to its truth."""
    if os.geteuid() != 0:
        harness.skip("page frames are for root only")
    rec = Listener(where, ["--quiet", "--engine", "census", "--rotate-size", "256k"])
    harness.wait_until(lambda: os.path.exists(rec.path), 60, "the socket")
    over = threading.Event()

    def hurry():
        while not over.wait(0.15):
            rec.process.send_signal(signal.SIGHUP)

    thread = threading.Thread(target=hurry)
    truths = []
    with harness.settled_pages():
        thread.start()
        for _ in range(4):
            truths += listen.forkloads(rec.path, 2, ["--tag", "--threads", "4"]) or []
            next_file(rec)
        over.set()
        thread.join()
    status = rec.stop()
    if not truths:
        harness.skip("the kernel moved pages all the time")
    reps, wrong = whole_files(files_of(rec.trace))
    tap.ok(status == 0 and len(reps) >= 5 and not wrong,
           f"sums: {len(reps)} files, each stands alone", [f"status {status}", rec.err(), *wrong])
    rep = merged(reps)
    pids = {(f["parent_pid"], f["child_pid"]) for t in truths for f in t["forks"]}
    rep["forks"] = [f for f in rep["forks"] if (f["parent_pid"], f["child_pid"]) in pids]
    wrong = list(exact.exact(listen.merged(truths), rep))
    tap.ok(not wrong, f"sums: every count of {len(truths)} programs over all files", wrong)


def sites(tap, where):
    """The uffd engine: first writes and their call sites in the file of their time."""
    if os.geteuid() != 0 or not os.access("/dev/userfaultfd", os.W_OK):
        harness.skip("no /dev/userfaultfd for us")
    with harness.settled_pages():
        rec = Listener(where, ["--quiet", "--engine", "uffd"])
        harness.wait_until(lambda: os.path.exists(rec.path), 60, "the socket")
        pair = Pair(rec.path)
        pair.tell("parent write 0 40")
        wait_for_look(rec.trace)
        next_file(rec)
        pair.tell("parent write 40 5")
        pair.tell("child write 100 7")
        pair.end()
        status = rec.stop()
    reps, wrong = whole_files(files_of(rec.trace))
    tap.ok(status == 0 and len(reps) == 2 and not wrong, "sites: two files, each stands alone",
           [f"status {status}", rec.err(), *wrong])
    got = [(*pair.counts(rep["forks"][0], rep, "parent"), *pair.counts(rep["forks"][0], rep, "child"))
           for rep in reps]
    tap.ok(got == [(40, 0, 0, 0), (5, 0, 7, 0)], "sites: the counts", [str(got)])
    first = pair.start // 4096
    rows = []
    for path in files_of(rec.trace):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            rows.append({side: n for side, n in db.execute(
                "SELECT side, count(*) FROM first_writes WHERE page BETWEEN ? AND ? AND fork"
                " GROUP BY side", (first, first + 511))})
    tap.ok(rows == [{"parent": 40}, {"parent": 5, "child": 7}], "sites: the writes", [str(rows)])
    for nr, rep in enumerate(reps):
        side = rep["forks"][0]["parent"]
        tap.ok(side["attributed"] >= (40, 5)[nr], f"sites: file {nr + 1}: attributed", [str(side)])


# Calls that the preload tells of, by the hundred thousand, and a fork now and then.
STORM = """
import ctypes, mmap, os, sys, time
libc = ctypes.CDLL(None)
area = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area)))
for turn in range(int(sys.argv[1])):
    for _ in range(4000):
        libc.madvise(at, 4096, 4)
    area[:1 << 20:4096] = bytes(256)
    pid = os.fork()
    if pid == 0:
        area[0] = 1
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.02)
"""


def storm(path, turns):
    subprocess.run([sys.executable, "-c", STORM, str(turns)], env=recorder.environment(path),
                   timeout=300, check=True)


class Watch:
    """The greatest size of all of a recording's files, looked at all the time."""

    def __init__(self, trace):
        self.trace, self.most, self.over = trace, 0, threading.Event()
        self.seen = set()  # older files
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def size(self):
        total = 0
        for path in glob.glob(glob.escape(self.trace) + "*"):
            self.seen.update([path] if path[-6:].isdigit() else [])
            with contextlib.suppress(FileNotFoundError):
                if not path.endswith(".stderr"):
                    total += os.stat(path).st_size
        return total

    def loop(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, self.size())

    def seen_numbers(self):
        return [int(path[-6:]) for path in self.seen]

    def stop(self):
        self.over.set()
        self.thread.join()
        self.most = max(self.most, self.size())
        return self.most


def bound(tap, where):
    """Never more on the disk than was allowed, and the oldest files went first."""
    rec = Listener(where, ["--engine", "census", "--rotate-size", "512k", "--max-disk",
                           "4M"]).ready()
    watch = Watch(rec.trace)
    storm(rec.path, 60)
    status = rec.stop()
    most = watch.stop()
    paths = files_of(rec.trace)
    tap.ok(most <= 4 << 20, "bound: never over it", [f"{most} bytes"])
    # Where the disk is far behind, the running one may need all the room.
    tap.ok(status == 0 and watch.seen and rec.trace + ".000001" not in paths,
           "bound: the oldest files went", [f"status {status}", *paths, rec.err()])
    numbers = [int(p.rsplit(".", 1)[1]) for p in paths[:-1]]
    tap.ok(numbers == sorted(watch.seen_numbers())[len(watch.seen) - len(numbers):],
           "bound: none in the middle", [*paths, *sorted(watch.seen)])
    # Where the ring ran over, a file says so; all else would be wrong.
    wrong = [text for text in whole_files(paths)[1] if "too slow" not in text]
    tap.ok(not wrong, "bound: each stands alone", wrong)


def alone(tap, where):
    """One file near the bound: no details any more, totals to the end, and one note."""
    trace = os.path.join(where, "t.cowtrace")
    watch = Watch(trace)
    run = harness.Recording(trace, [sys.executable, "-c", STORM, "80"],
                            options=["--engine", "census", "--max-disk", "4M"])
    status = run.wait(300)
    most = watch.stop()
    rep = harness.report(trace)
    notes = [n for n in rep["notes"] if n["code"] == "disk_bound"]
    tap.ok(most <= 4 << 20, "alone: never over it", [f"{most} bytes"])
    tap.ok(len(notes) == 1, "alone: one note", [str(rep["notes"])])
    tap.ok(len(rep["forks"]) == 80 and all(f["child"]["copied"] for f in rep["forks"]),
           "alone: every fork", [f"{len(rep['forks'])} forks"])
    with contextlib.closing(sqlite3.connect(f"file:{trace}?mode=ro", uri=True)) as db:
        events = db.execute("SELECT count(*) FROM events").fetchone()[0]
    tap.ok(0 < events < 80 * 4000, "alone: some of the calls", [f"{events}"])
    tap.ok(status == 0 or "too slow" in run.err(), "alone: status 0", [f"{status}", run.err()])


def keep(tap, where):
    """So many files and no more; what is no trace stays, whatever it is called."""
    rec = Listener(where, ["--engine", "census", "--keep", "2"]).ready()
    stranger = rec.trace + ".000000"
    other = rec.trace + ".000001.txt"
    for path in (stranger, other):
        harness.write_file(path, "mine")
    program = Program(rec.path)
    for nr in range(5):
        program.fork()
        rec.process.send_signal(signal.SIGHUP)
        newest = f"{rec.trace}.{nr + 1:06}"
        harness.wait_until(lambda path=newest: os.path.exists(path), 60, newest)
    program.end()
    tap.ok(rec.stop() == 0, "keep: status 0", [rec.err()])
    paths = [p for p in files_of(rec.trace) if p not in (stranger, other)]
    tap.ok([p[len(rec.trace):] for p in paths] == [".000004", ".000005", ""], "keep: the newest two",
           paths)
    tap.ok(all(harness.read_file(p) == "mine" for p in (stranger, other)),
           "keep: files of others stay")


def every(tap, where):
    """By time, where there is anything to put aside."""
    rec = Listener(where, ["--engine", "census", "--rotate-every", "300ms"]).ready()
    time.sleep(1.5)
    tap.ok(len(files_of(rec.trace)) == 1, "every: nothing happened, nothing was put aside",
           files_of(rec.trace))
    program = Program(rec.path)
    for nr in range(3):
        program.fork()
        harness.wait_until(lambda n=nr: len(files_of(rec.trace)) > n + 1, 60, "another file")
    program.end()
    tap.ok(rec.stop() == 0, "every: status 0", [rec.err()])
    reps = [harness.report(p) for p in files_of(rec.trace)]
    tap.ok(sum(len([f for f in rep["forks"] if not f["carried"]]) for rep in reps) == 3,
           "every: three forks in all")


def again(tap, where):
    """A recorder that was killed: the next one puts its file aside, and counts on."""
    first = Listener(where, ["--engine", "census"]).ready()
    program = Program(first.path)
    program.fork()
    next_file(first)
    program.fork()
    harness.wait_until(lambda: harness.report(first.trace)["forks"], 60, "the second fork")
    first.kill()
    program.end()
    second = Listener(where, ["--engine", "census"]).ready()
    program = Program(second.path)
    program.fork()
    program.end()
    tap.ok(second.stop() == 0, "again: status 0", [second.err()])
    paths = files_of(second.trace)
    tap.ok(len(paths) == 3, "again: three files", paths)
    reps = [harness.report(p) for p in paths]
    tap.ok([r["complete"] for r in reps] == [True, False, True], "again: one of them incomplete")
    tap.ok([len(r["forks"]) for r in reps] == [1, 1, 1], "again: a fork in each")
    left = glob.glob(glob.escape(second.trace) + "*-*")
    tap.ok(not left, "again: one file each", left)


@contextlib.contextmanager
def small_disk(path, size):
    os.mkdir(path)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", path],
                      stderr=subprocess.DEVNULL, check=False).returncode:
        harness.skip("nothing may be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def full(tap, where):
    """A full disk: what is on it stays, and once there is room it goes on by itself."""
    if os.geteuid() != 0:
        harness.skip("mounting is for root only")
    with small_disk(os.path.join(where, "disk"), "3m") as disk:
        rec = Listener(disk, ["--quiet", "--engine", "census"])
        harness.wait_until(lambda: os.path.exists(rec.path), 60, "the socket")
        filler = os.path.join(disk, "filler")
        program = Program(rec.path)
        program.fork()
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        storm(rec.path, 10)
        harness.wait_until(lambda: glob.glob(rec.trace + ".[0-9]*"), 60, "a file put aside")
        program.fork()
        os.unlink(filler)
        harness.wait_until(lambda: os.path.exists(rec.trace) and
                           harness.report(rec.trace)["processes"], 60, "another file")
        pid = program.fork()
        program.end()
        status = rec.stop()
        rep = harness.report(rec.trace)
        tap.ok(status == 0 and rep["complete"], "full: goes on", [f"status {status}", rec.err()])
        tap.ok(pid in [f["child_pid"] for f in rep["forks"]] and
               program.pid in [p["pid"] for p in rep["processes"]],
               "full: with the program that was there before", [str(rep["forks"])])
        older = [harness.report(p) for p in files_of(rec.trace)[:-1]]
        tap.ok(older and not older[0]["complete"] and "no space" in older[0]["why_incomplete"],
               "full: the older file says why it ends", [str(r["why_incomplete"]) for r in older])


CASES = {f.__name__: f for f in (steps, sums, sites, bound, alone, keep, every, again, full)}


if __name__ == "__main__":
    harness.run_cases(CASES, sys.argv[1:])

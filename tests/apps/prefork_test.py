#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Eight workers forked after the data was loaded, requests, and a collection in
each: the report's account of every worker against its own Private_Dirty.

usage: prefork_test.py plain|freeze
"""

import os
import sys
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness

PYTHON = "/usr/bin/python3"
NR_WORKERS = 8
NR_ENTRIES = 60_000
NR_REQUESTS = 400


def serve(where, options):
    command = [PYTHON, os.path.join(HERE, "prefork_server.py"), str(NR_WORKERS), str(NR_ENTRIES),
               *options]
    recording = harness.Recording(os.path.join(where, "prefork.cowtrace"), command,
                                  options=["--engine", "census"])

    def port():
        if recording.process.poll() is not None:
            raise RuntimeError(f"the server did not start: {recording.err()}")
        return recording.out().strip()

    return recording, int(harness.wait_until(port, 30, "the server"))


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return answer.read().decode()


def load(port):
    served = {get(port, i * 131).split()[-1] for i in range(NR_REQUESTS)}
    for _ in range(4 * NR_WORKERS):
        get(port, "collect")
    return served


def find_master(recording):
    """The command is the recorder's child, or its child's child: whose children are eight."""
    todo = [recording.process.pid]
    while todo:
        pid = todo.pop()
        kids = harness.children(pid)
        if len(kids) == NR_WORKERS:
            return pid, kids
        todo += kids
    raise RuntimeError("no process has eight workers")


def given_up(rep, forks_from):
    """Bytes that the master copied or dropped since a fork."""
    return harness.PAGE * sum((f["parent"]["copied"] or 0) + (f["parent"]["dropped"] or 0)
                              for f in rep["forks"] if f["id"] >= forks_from)


def check_worker(tap, rep, pid, dirty):
    """Returns what the kernel calls the worker's own beyond what it copied and filled."""
    forks = [f for f in rep["forks"] if f["child_pid"] == pid]
    if not tap.ok(len(forks) == 1, f"worker {pid}: its fork is in the report"):
        return 0
    child = forks[0]["child"]
    own = harness.PAGE * (child["copied"] + child["new"])
    # A page that everybody writes: the last one to do so is its only owner by then
    # and reuses it.  So what the master gave up can be one worker's alone, uncopied.
    given = given_up(rep, forks[0]["id"])
    tap.note(f"worker {pid}: census {harness.pages_text(own)}, "
             f"Private_Dirty {harness.pages_text(dirty)}, "
             f"given up by the master {harness.pages_text(given)}")
    inside = own <= dirty <= own + given
    tap.ok(inside or harness.close_enough(own, dirty) or
           harness.close_enough(own + given, dirty), f"worker {pid}: equals Private_Dirty",
           [str(forks[0]["parent"]), str(child)])
    return dirty - own


def check_sum(tap, rep, beyond):
    """Each page that the master gave up can be left to one worker only."""
    given = given_up(rep, 0)
    tolerance = NR_WORKERS * 64 * harness.PAGE
    tap.ok(-tolerance <= sum(beyond) <= given + tolerance,
           "all workers together: what is theirs beyond their copies, the master gave up",
           [f"{sum(beyond)} bytes beyond, {given} given up"])


def main():
    mode = sys.argv[1]
    if os.geteuid() != 0:
        harness.skip("exact counts need page frames: root only")
    tap = harness.Tap()
    with harness.folder() as where, harness.settled_pages():
        recording, port = serve(where, [mode])
        master, workers = find_master(recording)
        served = load(port)
        tap.ok(len(served) > 1, "several workers served", [str(served)])
        dirty = {pid: harness.private_dirty(pid) for pid in workers}
        harness.kill(master, 15)
        tap.ok(recording.wait() == 0, "the server ended well under record",
               recording.err().splitlines())
        rep = harness.report(recording.trace)
        tap.ok(rep["complete"], "the trace is complete", [rep["why_incomplete"]])
        sites = {f["site"] for f in rep["forks"] if f["child_pid"] in dirty}
        tap.ok(len(sites) == 1 and None not in sites, "all workers have one fork site", sites)
        check_sum(tap, rep, [check_worker(tap, rep, pid, dirty[pid]) for pid in workers])
        copied = sum(f["child"]["copied"] for f in rep["forks"] if f["child_pid"] in dirty)
        tap.note(f"{mode}: {copied} pages copied by the workers")
    tap.done()


if __name__ == "__main__":
    main()

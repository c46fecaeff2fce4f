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
    recording = harness.Recording(os.path.join(where, "prefork.cowtrace"), command)

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


def check_worker(tap, rep, pid, dirty):
    forks = [f for f in rep["forks"] if f["child_pid"] == pid]
    if not tap.ok(len(forks) == 1, f"worker {pid}: its fork is in the report"):
        return 0
    child = forks[0]["child"]
    own = harness.PAGE * (child["copied"] + child["new"])
    tap.note(f"worker {pid}: census {harness.pages_text(own)}, "
             f"Private_Dirty {harness.pages_text(dirty)}")
    tap.ok(harness.close_enough(own, dirty), f"worker {pid}: equals Private_Dirty", [str(child)])
    return child["copied"]


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
        copied = [check_worker(tap, rep, pid, dirty[pid]) for pid in workers]
        tap.note(f"{mode}: {sum(copied)} pages copied by the workers")
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Random instants at which the recorder is killed or stopped, or the program or a
child of it killed: whoever is left goes on unharmed, nobody hangs, and the
trace opens.

usage: stress.py ENGINE TIMES [SEED]
"""

import concurrent.futures
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness

RUN_MS = 300
# A stopped recorder is killed after a second; holds are bounded by a second too.
PATIENCE = 20
# Mostly they wait for a recorder that is stopped.
AT_ONCE = 3
KINDS = ("kill recorder", "kill both", "stop recorder", "stop both", "kill program", "kill child")
# A stopped recorder holds every first write, and who would end it is stopped too.
NOT_WITH_UFFD = ("stop both",)


def started(path):
    return os.path.exists(path) and harness.read_file(path) != ""


def outcome(path):
    """What the program said at its end; nothing while it runs."""
    text = harness.read_file(path) if os.path.exists(path) else ""
    return "" if text.startswith("started") else text


def of_cowtrace(pid):
    """The recorder itself: children of `record` that are not the program."""
    mine = os.path.realpath(harness.program("COWTRACE"))

    def is_mine(kid):
        try:
            return os.path.realpath(os.readlink(f"/proc/{kid}/exe")) == mine
        except OSError:
            return False

    return [kid for kid in harness.children(pid) if is_mine(kid)]


def program_of(pid):
    kids = harness.children(pid)
    return [k for k in kids if harness.comm(k) == "churn"] or \
        [k for kid in kids for k in harness.children(kid) if harness.comm(k) == "churn"]


def strike(kind, recording):
    """Does it; returns the processes that were stopped and must be woken at the end."""
    top = recording.process.pid
    recorders = of_cowtrace(top)
    programs = program_of(top)
    stopped = []
    if kind == "kill recorder":
        for pid in recorders:
            harness.kill(pid)
    elif kind == "kill both":
        # Whichever goes first.
        for pid in random.sample([top, *recorders], 1 + len(recorders)):
            harness.kill(pid)
    elif kind in ("stop recorder", "stop both"):
        stopped = recorders + ([top] if kind == "stop both" else [])
        for pid in stopped:
            harness.kill(pid, signal.SIGSTOP)
    elif kind == "kill program":
        for pid in programs:
            harness.kill(pid)
    else:
        kids = [k for pid in programs for k in harness.children(pid)]
        if kids:
            harness.kill(random.choice(kids))
    return stopped


def check_trace(trace, recording):
    if not os.path.exists(trace):
        # Killed before there was a program: then there is nothing to open.
        return []
    try:
        rep = harness.report(trace)
    except RuntimeError as e:
        return [f"the trace does not open: {e}"]
    if not rep["complete"] and not rep["why_incomplete"]:
        return ["incomplete, and it does not say why"]
    return []


def one(engine, kind, where, nr):
    trace = os.path.join(where, f"{nr}.cowtrace")
    result = os.path.join(where, f"{nr}.result")
    recording = harness.Recording(trace, [os.environ["CHURN"], str(RUN_MS), result],
                                  options=["--quiet", "--engine", engine])
    harness.wait_until(lambda: started(result) or recording.process.poll() is not None, PATIENCE,
                       "the program's start")
    time.sleep(random.uniform(0, RUN_MS / 1000))
    stopped = strike(kind, recording)
    wrong = []
    try:
        if kind != "kill program":
            text = harness.wait_until(lambda: outcome(result), PATIENCE, "the program's end")
            if not text.startswith("ok"):
                wrong.append(f"the program was harmed: {text.strip()}")
        for pid in stopped:
            harness.kill(pid, signal.SIGCONT)
        status = recording.wait(PATIENCE)
        if kind == "kill child" and status:
            wrong.append(f"status {status}: {recording.err().strip()}")
        if kind == "kill program" and status not in (0, 128 + signal.SIGKILL, -signal.SIGKILL):
            wrong.append(f"status {status} after the program was killed")
    except TimeoutError as e:
        wrong.append(str(e))
    finally:
        recording.stop()
    return wrong + check_trace(trace, recording)


def main():
    engine, times = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    random.seed(seed)
    tap = harness.Tap()
    tap.note(f"seed {seed}")
    with harness.folder() as where, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        these = [k for k in KINDS if engine != "uffd" or k not in NOT_WITH_UFFD]
        kinds = [these[nr % len(these)] for nr in range(times)]
        for nr, wrong in enumerate(pool.map(one, [engine] * times, kinds, [where] * times,
                                            range(times))):
            tap.ok(not wrong, f"{kinds[nr]}, {nr + 1}", wrong)
    tap.done()


if __name__ == "__main__":
    main()

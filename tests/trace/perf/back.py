#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Programs with signals of their own under the perf engine: each ends as it does alone; and
where the engine steps back from one, the trace says so, and elsewhere it has sites.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

# Case -> what the note must say, or None: the engine stays.
CASES = {
    "plain": None,
    "handler": "handles or waits for SIGTRAP",
    "midway": "handles or waits for SIGTRAP",
    "ignored": "handles or waits for SIGTRAP",
    "default": None,
    "raw": "a SIGTRAP handler of its own",
    "waits": "handles or waits for SIGTRAP",
    "blocked": None,
    "onstack": None,
    "clone": "threads by clone",
    "quiet": "restricts its system calls",
    "breakpoint": None,
    "spawn": None,
}
# Whose writes are seen, all of them or some.
WRITERS = set(CASES) - {"ignored", "midway", "raw", "spawn"}


def sited(rep):
    return sum(site["first_writes"] for site in rep["sites"] if site["side"] and
               any(frame["function"] == "trap_write" for frame in site["frames"]))


def main():
    host, tap = harness.program("TRAPPER"), harness.Tap()
    with harness.folder() as where:
        for case, word in CASES.items():
            alone = subprocess.run([host, case], stderr=subprocess.PIPE, timeout=60, check=False)
            trace = os.path.join(where, f"{case}.cowtrace")
            run = harness.record(trace, [host, case], options=["--quiet", "--engine", "perf"])
            status = alone.returncode if alone.returncode >= 0 else 128 - alone.returncode
            if run.status == 125 and "perf engine cannot run" in run.err():
                harness.skip(run.err().strip())
            tap.ok(run.status == status, f"{case}: ends as it does alone",
                   [f"{run.status}, alone {status}", run.err(), alone.stderr.decode()])
            rep = harness.report(trace)
            notes = [n["text"] for n in rep["notes"] if n["code"] == "stepped_back"]
            good = any(word in text for text in notes) if word else not notes
            tap.ok(good and rep["complete"], f"{case}: {'steps back' if word else 'stays'}", notes)
            if case in WRITERS:
                tap.ok(sited(rep) > 0, f"{case}: {sited(rep)} writes have sites")
    tap.done()


if __name__ == "__main__":
    main()

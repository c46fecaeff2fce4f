#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A hostile program against the recorder: whatever it writes into the segment, the
recorder ends the recording, and the trace can be read.

usage: liar.py SECONDS SEED...
"""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness

INCOMPLETE = 122  # more events than the disk takes: no shame


def one_seed(tap, seconds, seed):
    with harness.folder() as path:
        trace = os.path.join(path, "t.cowtrace")
        run = harness.Recording(trace, [harness.program("LIAR"), seconds, seed],
                                options=["--engine", "census"])
        status = run.wait(60)
        err = run.err()
        tap.ok(status in (0, INCOMPLETE), f"seed {seed}: the recording ends", [f"{status}", err])
        tap.ok("killed" not in err, f"seed {seed}: the recorder lived through it", [err])
        with sqlite3.connect(f"file:{trace}?mode=ro", uri=True) as db:
            nr = db.execute("SELECT count(*) FROM processes").fetchone()[0]
            good = db.execute("PRAGMA integrity_check").fetchone()[0]
        tap.ok(nr > 0 and good == "ok", f"seed {seed}: the trace is whole", [nr, good])


def main():
    tap = harness.Tap()
    for seed in sys.argv[2:]:
        one_seed(tap, sys.argv[1], seed)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The uffd engine's call sites against forkload's own truth (tests/lib/sites.py).

usage: exact.py fast
       exact.py RUNS FORKLOAD-OPTION...
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness
import sites

FAST = [(1, ["--threads", "1"]), (1, ["--threads", "8", "--huge"]), (1, ["--threads", "8"])]


def main():
    todo = FAST if sys.argv[1:] == ["fast"] else [(int(sys.argv[1]), sys.argv[2:])]
    if os.geteuid() != 0:
        harness.skip("page frames and the userfaultfd device are for root only")
    if not os.path.exists("/dev/userfaultfd"):
        harness.skip("no /dev/userfaultfd (Linux 6.1)")
    sites.run_all(sites.Uffd, todo)


if __name__ == "__main__":
    main()

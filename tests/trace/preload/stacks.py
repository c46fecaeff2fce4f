#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Stacks of first writes, asked for by a recorder that does nothing else: who wrote
each page of a range, by function, exactly; and that programs with their own ideas
of signals, masks and stacks behave as they do alone.

usage: stacks.py all|NAME...
The build tells the programs by environment: PRELOAD, FAKEREC, HOST_STACKS,
HOST_PAGES, HOST_UNWIND.
"""

import collections
import os
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
from harness import Tap, folder, program, read_file, skip  # noqa: E402

TIMEOUT = 60  # seconds; a hang, not a measure
STACK_PCS = 28  # CT_STACK_PCS
GROWTH_MAX = 8  # pages of its own that a process may copy because of us
DEVICE = "/dev/userfaultfd"


def words(line):
    return dict(w.split("=", 1) for w in line.split() if "=" in w)


def numbers(text):
    return [int(n, 16) for n in text.split(",") if n]


class Functions:
    """The host is not relocated: addresses to names."""

    def __init__(self, path):
        out = subprocess.run(["nm", "-S", path], stdout=subprocess.PIPE, check=True).stdout
        fields = [line.split() for line in out.decode().splitlines()]
        self.all = [(int(f[0], 16), int(f[0], 16) + int(f[1], 16), f[3])
                    for f in fields if len(f) == 4 and f[2] in "tT"]

    def name(self, pc):
        return next((n for start, end, n in self.all if start <= pc < end), "")


def run(options, case, host="HOST_STACKS"):
    """Status, output and what the recorder heard."""
    with folder() as tmp:
        log = os.path.join(tmp, "log")
        env = dict(os.environ, COWTRACE_PRELOAD=program("PRELOAD"))
        try:
            proc = subprocess.run([program("FAKEREC"), "-l", log, *options,
                                   program(host), case], env=env, timeout=TIMEOUT,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, check=False)
            status, out = proc.returncode, proc.stdout.decode()
        except subprocess.TimeoutExpired as e:
            status, out = 124, (e.stdout or b"").decode() + "hangs"
        return status, out, read_file(log).splitlines() if os.path.exists(log) else []


def writes(out, log, host="HOST_STACKS"):
    """For each first write in the printed range: (function, what came of it, its callers)."""
    names = Functions(program(host))
    low, high = (int(n, 16) for n in re.search(r"area (\w+) (\w+)", out).groups())
    stacks = {}
    for line in log:
        if line.startswith("stack "):
            stacks[words(line)["ticket"]] = words(line)
    for line in log:
        fault = words(line)
        if not line.startswith("fault ") or not low <= int(fault["addr"], 16) < high:
            continue
        pc, what, callers = int(fault["pc"], 16), fault["asked"], []
        if what == "yes":
            stack = stacks[fault["ticket"]]
            what = stack["answer"]
            pcs = numbers(stack["site"])
            if what == "yes" and (not pcs or pcs[0] != pc):
                what = "of another instruction"
            # What follows the first are return addresses.
            callers = [names.name(p - 1) for p in pcs[1:]]
        yield names.name(pc), what, callers


def expect_writes(tap, case, out, log, want):
    """want: {(function, answer, caller): pages}; caller "" where there is no stack."""
    got, lost = collections.Counter(), 0
    for function, what, callers in writes(out, log):
        got[(function, what, callers[0] if callers else "")] += 1
        # Down to main(), or to the end of libc's part of a thread.
        if what == "yes" and len(callers) < 3 and case != "astray":
            lost += 1
    want = {key: nr for key, nr in want.items() if nr}
    tap.ok(dict(got) == want, f"{case}: every first write has its stack, or its reason",
           [f"got {nr} of {key}" for key, nr in sorted(got.items()) if want.get(key) != nr] +
           [f"want {nr} of {key}" for key, nr in sorted(want.items()) if got[key] != nr])
    tap.ok(not lost, f"{case}: no stack ends early", [f"{lost} do"])


def yes(function, caller, pages):
    return {(function, "yes", caller): pages}


def no(function, why, pages):
    return {(function, why, ""): pages}


WANT = {
    "threads": {**yes("w_main", "run_threads", 20), **yes("w_early", "early_writes", 10),
                **yes("w_thread", "thread_writes", 20), **yes("w_thread", "thrd_writes", 10),
                **yes("w_deep", "deep", 5),
                **yes("w_child", "run_threads", 40)},
    "masks": {**yes("w_main", "run_masks", 20), **yes("w_handler", "in_handler", 30),
              **yes("w_thread", "thread_masked", 10), **yes("w_after", "run_masks", 10)},
    "taken": {**yes("w_before", "run_taken", 10), **no("w_after", "taken", 10)},
    "astray": yes("w_astray", "on_other_stack", 5),
    "query": yes("w_main", "run_query", 10),
    "waits": {**yes("w_before", "run_waits", 10), **yes("w_wait", "waiter", 5)},
    "altstack": {**yes("w_before", "with_stacks", 10), **no("w_tiny", "thread", 10),
                 **yes("w_main", "with_stacks", 10), **yes("w_large", "on_large", 10),
                 **yes("w_after", "with_stacks", 20), **yes("w_handler", "on_normal", 20)},
    "ends": {**yes("w_thread", "ends_by_exit", 30), **yes("w_thread", "returns", 30),
             **yes("w_thread", "thread_writes", 10)},
    "quiet": {**yes("w_before", "run_quiet", 10), **no("w_after", "quiet", 10)},
    # One in three blocks everything by a raw call: nobody can see that.
    "exec": {**yes("w_main", "exec_with", 12), **yes("w_child", "run_exec", 120),
             **no("w_child", "late", 60), **yes("w_before", "run_exec", 5),
             **yes("w_after", "run_exec", 5)},
}


def check_case(tap, case):
    status, out, log = run(["-u"], case)
    tap.ok(status == 0, f"{case}: behaves as alone", [f"status {status}"] + out.splitlines())
    if case in WANT and re.search("area", out):
        expect_writes(tap, case, out, log, WANT[case])
    if case == "exec":
        masks = re.findall(r"inherited (\d)", out)
        tap.ok(masks == ["1", "0"] * 3, "exec: the next image has the program's mask", masks)
    if case == "threads":
        check_own(tap, log)
        check_answers(tap, out, log)
        deepest = max(len(callers) for name, _, callers in writes(out, log) if name == "w_deep")
        tap.ok(deepest == STACK_PCS - 1, f"a deep stack has {deepest} callers")


def check_answers(tap, out, log):
    """
    The handler itself faults nowhere, nor does what we do with signals blocked: that
    would be asked for and come late.  (libc blocks them too, as in pthread_create().)
    """
    low, high = (int(n, 16) for n in re.search(r"library (\w+) (\w+)", out).groups())
    late = {words(line)["ticket"] for line in log
            if line.startswith("stack ") and words(line)["answer"] != "yes"}
    ours = [line for line in log if line.startswith("fault ") and words(line)["ticket"] in late
            and low <= int(words(line)["pc"], 16) < high]
    asked = sum(line.startswith("stack ") for line in log)
    tap.ok(low and not ours and len(late) < asked / 20, "what was asked for came in time",
           [f"{len(late)} of {asked} late"] + ours)


def check_own(tap, log):
    """Each fork is armed for, and nothing of ours is to be seen."""
    own = [words(line) for line in log if line.startswith("uffd ")]
    tap.ok(own and all(w["status"] == "0" and w["api"] == "0" and int(w["own"]) > 0 for w in own),
           "each image sends its userfaultfd and says which memory is ours", own)
    armed = sum(line.startswith("armed ") for line in log)
    born = sum(line.startswith("birth ") for line in log)
    tap.ok(armed == born == 3, "each fork is armed for, once", [f"{armed} armed, {born} born"])


def check_without(tap):
    """No engine, or no device: no handler, no stack, no reason to fail."""
    for options, name in (([], "census"), (["-U"], "no device")):
        status, out, log = run(options, "nothing")
        tap.ok(status == 0, f"{name}: nothing of ours is in the program", out.splitlines())
        said = [words(line)["status"] for line in log if line.startswith("uffd ")]
        tap.ok(said == (["-19"] if options else []), f"{name}: the image says so", said)
    for case in sorted(WANT):
        proc = subprocess.run([program("HOST_STACKS"), case], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        tap.ok(proc.returncode == 0, f"{case}: alone", proc.stderr.decode().splitlines())


def check_growth(tap):
    """What answering for fifty first writes copies in each process, beyond what they write."""
    host = program("HOST_PAGES")
    env = dict(os.environ, COWTRACE_PRELOAD=program("PRELOAD"))
    traced = [program("FAKEREC"), "-u", "-l", "/dev/null"]

    def least(argv):
        # Where a stack frame meets a page's end is luck: the best of some runs.
        outs = [subprocess.run(argv, env=env, stdout=subprocess.PIPE, timeout=TIMEOUT,
                               check=True).stdout.decode() for _ in range(4)]
        found = [{k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", out)} for out in outs]
        return {k: min(f[k] for f in found) for k in ("private", "parent", "child")}
    # Whoever writes first to a page that both write to copies it.
    for case, side in (("write", "parent"), ("first", "child")):
        alone, with_us = least([host, case]), least([*traced, host, case])
        tap.note(f"{side} first: alone {alone}, traced {with_us}")
        more = with_us[side] - alone[side]
        tap.ok(more < GROWTH_MAX, f"{side}: {more} pages more, less than {GROWTH_MAX}")
        tap.ok(with_us["private"] - alone["private"] < GROWTH_MAX, f"{side}: private pages")


def check_unwinder(tap):
    """A program in the middle of its own unwinding; its libunwind and ours do not meet."""
    status, out, log = run(["-u"], "", "HOST_UNWIND")
    tap.ok(status == 0, "unwinder: behaves as alone", [f"status {status}"] + out.splitlines())
    found = list(writes(out, log, "HOST_UNWIND"))
    wrong = [w for w in found if w[0] != "walk" or w[1] != "yes" or w[2][0] != "deeper" or
             "main" not in w[2]]
    tap.ok(len(found) > 200 and not wrong, f"unwinder: {len(found)} stacks, down to main()", wrong)


def main():
    tap = Tap()
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        skip(f"no {DEVICE}, or not for us: Linux 6.1 with CONFIG_USERFAULTFD, and root")
    for case in sys.argv[1:]:
        if case == "without":
            check_without(tap)
        elif case == "unwinder":
            check_unwinder(tap)
        elif case == "growth":
            check_growth(tap)
        else:
            check_case(tap, case)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Hostile programs under the preload, with a recorder that only listens: each must
behave as it does alone, and what the recorder heard must add up.

usage: hostile.py [-u] results|forks|exec|misc|api|pages|recorded|recorded-uffd|recorded-perf|beside|faults
The build tells the programs by environment: PRELOAD, FAKEREC, COWTRACE, OTHER, HOST_*.
"""

import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
from harness import Tap, folder, program, read_file, skip  # noqa: E402

TIMEOUT = 60  # seconds; a hang, not a measure
HOLD_MS = 300
ENGINE = []  # options of the listening recorder; -u: it serves first writes as well


class Log:
    """What the recorder heard: lines of "word key=value ...", events by their type."""

    def __init__(self, text):
        self.lines = []
        for line in text.splitlines():
            words = line.split(" ")
            kind = words.pop(0)
            if kind == "event":
                # A recorder that is killed may leave half a line.
                kind = "event " + (words.pop(0) if words else "")
            self.lines.append((kind, dict(w.split("=", 1) for w in words if "=" in w)))

    def all(self, kind):
        return [fields for name, fields in self.lines if name == kind]

    def nr(self, kind):
        return len(self.all(kind))

    def end(self):
        ends = self.all("end")
        return {k: int(v) for k, v in ends[0].items()} if ends else {}


def run(argv, env=None, stdout=subprocess.PIPE):
    """Exit status and output; 124 after TIMEOUT.  No descriptor but 0, 1, 2."""
    proc = subprocess.Popen(argv, env=env, stdout=stdout, stderr=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        out, err = proc.communicate(timeout=TIMEOUT)
        return proc.returncode, (out or b"").decode(), err.decode()
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, 9)
        proc.communicate()
        return 124, "", "hangs"


def traced(argv, preload=None, options=()):
    """Runs argv under the listening recorder: status, output, errors, Log, seconds."""
    env = dict(os.environ, COWTRACE_PRELOAD=preload or program("PRELOAD"))
    with folder() as tmp:
        log = os.path.join(tmp, "log")
        began = time.monotonic()
        status, out, err = run([program("FAKEREC"), "-l", log, *ENGINE, *options, *argv], env)
        seconds = time.monotonic() - began
        text = read_file(log) if os.path.exists(log) else ""
    return status, out, err, Log(text), seconds


def adds_up(log, holes=0):
    """
    Complaints about what must hold after every run with a healthy recorder.
    holes: how many threads at most were ended while they wrote an event.
    """
    bad = []
    end = log.end()
    if not end:
        return ["the recorder did not come to its end"]
    for key, most in (("torn", 0), ("skipped", holes), ("claimed", 0)):
        if end[key] > most:
            bad.append(f"{key}={end[key]}")
    for kind in ("birth", "exit", "exec"):
        late = [f for f in log.all(kind) if f["waited"] != "1"]
        if late:
            bad.append(f"{len(late)} {kind} did not wait for the answer")
    exits = [f["pid"] for f in log.all("exit")]
    if len(exits) != len(set(exits)):
        bad.append("a process was read twice at its exit")
    for fields in log.all("gone"):
        if fields["begun"] != fields["done"] and not fields.get("daemon"):
            bad.append(f"pid {fields['pid']}: {fields['begun']} forks begun, "
                       f"{fields['done']} done")
    return bad


def births(nr, holes=0):
    def expect(log):
        bad = adds_up(log, holes)
        if log.nr("birth") != nr or log.nr("exit") != nr + 1:
            bad.append(f"{log.nr('birth')} births, {log.nr('exit')} exits: want {nr}, {nr + 1}")
        if nr and not all(int(f["pcs"]) > 0 for f in log.all("birth")):
            bad.append("a fork without a call site")
        ok = [f for f in log.all("event fork") if int(f["arg2"]) > 0]
        heard = sorted(f["pid"] for f in log.all("birth")) == sorted(f["arg2"] for f in ok)
        if not heard and not log.end()["dropped"]:
            bad.append("the parents' words of their children are not those born")
        return bad
    return expect


def all_born_exit(log):
    bad = adds_up(log)
    if log.nr("exit") != log.nr("birth") + log.nr("hello"):
        bad.append(f"{log.nr('birth')} born, {log.nr('exit')} exits")
    return bad


def expect_vfork(log):
    bad = adds_up(log)
    how = [f["arg"] for f in log.all("event spawn")]
    if log.nr("birth"):
        bad.append("a vfork child was born")
    if how.count("1") != 40 or how.count("2") != 10:
        bad.append(f"spawns: {how}")
    if log.nr("hello") != 1 + 20 + 10 + 1:
        bad.append(f"{log.nr('hello')} images said hello")
    return bad


def expect_pidns(log):
    bad = adds_up(log)
    if log.nr("birth") or [f["arg"] for f in log.all("event loss")] != ["2"]:
        bad.append("a child of another pid namespace must be lost, and said so")
    return bad


def expect_daemon(log):
    bad = [line for line in adds_up(log) if "begun" not in line]
    unknown = [f for f in log.all("event fork") if f["arg2"] == "0"]
    if log.nr("birth") != 3 or len(unknown) != 1:
        bad.append(f"{log.nr('birth')} births, {len(unknown)} forks of libc's own")
    return bad


def expect_nproc(log):
    bad = adds_up(log)
    failed = [f for f in log.all("event fork") if f["arg2"] == "-11"]
    if len(failed) != 200 or log.nr("birth"):
        bad.append(f"{len(failed)} failed forks, {log.nr('birth')} births")
    return bad


def expect_chain(log):
    bad = adds_up(log)
    if log.nr("hello") != 11 or log.nr("exec") != 10 or log.nr("exit") != 1:
        bad.append(f"{log.nr('hello')} images, {log.nr('exec')} execs, {log.nr('exit')} exits")
    if log.nr("event execfail"):
        bad.append("an exec failed")
    return bad


def expect_exec_fail(log):
    bad = adds_up(log)
    if log.nr("event execfail") != log.nr("exec"):
        bad.append(f"{log.nr('exec')} asked, {log.nr('event execfail')} taken back")
    if log.nr("exec") < 5:
        bad.append("too few asked")
    return bad


def expect_seccomp(log):
    bad = [line for line in adds_up(log)]
    # The program and the one that forked after a refused filter: all others are quiet.
    if log.nr("birth") != 4 or log.nr("exit") != 2:
        bad.append(f"{log.nr('birth')} births, {log.nr('exit')} exits")
    return bad


def expect_self(log):
    bad = adds_up(log, log.nr("hello"))  # the child is killed
    advice = [f["len"] for f in log.all("event advise")]
    if advice != ["0x1000", "0x1000"] or log.nr("event bind") != 1:
        bad.append(f"advice to oneself: {advice}; {log.nr('event bind')} bound")
    return bad


def expect_sandbox(log):
    bad = adds_up(log)
    # The program, and the shell that has no filter: two images; the others keep still.
    if log.nr("hello") != 2 or log.nr("birth") != 4:
        bad.append(f"{log.nr('hello')} images, {log.nr('birth')} births")
    return bad


def expect_unmap(log):
    bad = adds_up(log)
    if [f["arg"] for f in log.all("event loss")] != ["3"] * 4:
        bad.append("four processes took the segment away")
    if log.nr("birth") != 5 or log.nr("exit") != 2:
        bad.append(f"{log.nr('birth')} births, {log.nr('exit')} exits")
    return bad


CASES = {
    "results": {"ranges": adds_up, "maps": adds_up, "others": adds_up, "libc": adds_up,
                "self": expect_self},
    "forks": {"storm": births(150), "threads": births(100), "sigfork": all_born_exit,
              "burst": births(200), "vfork": expect_vfork, "clone": births(30),
              "pidns": expect_pidns, "daemon": expect_daemon, "nproc": expect_nproc},
    "exec": {"chain": expect_chain, "fail": expect_exec_fail, "vforkexec": adds_up},
    "misc": {"closefds": births(20), "tinystack": births(50), "seccomp": expect_seccomp,
             "sandbox": expect_sandbox,
             "unmap": expect_unmap, "dlopen": births(60), "exits": births(30, holes=6),
             "longjmp": births(20, holes=300), "nocfi": adds_up, "deep": births(1), "altstack": adds_up},
}


def run_group(tap, group, preload=None, without=()):
    host = program("HOST_" + group.upper())
    for case, expect in CASES[group].items():
        if case in without:
            continue
        want = run([host, case])
        status, out, err, log, seconds = traced([host, case], preload)
        tap.ok(want[0] == 0, f"{group} {case}: alone", [want[2]])
        tap.ok((status, out) == want[:2], f"{group} {case}: traced, the same", [status, err])
        bad = expect(log)
        tap.ok(not bad, f"{group} {case}: what was heard adds up ({seconds:.1f} s)", bad)


def run_api(tap):
    """<cowtrace/trace.h> with and without a recording: same program, same library."""
    host = program("HOST_API")
    status, out, err = run([host, "alone"])
    tap.ok(status == 0 and out == "ok\n", "alone", [err])
    status, out, err, log, _ = traced([host, "recorded"])
    tap.ok(status == 0 and out == "ok\n", "recorded", [err])
    bad = adds_up(log)
    tap.ok(not bad, "what was heard adds up", bad)
    tags = [(f["len"], f["name"]) for f in log.all("event tag")]
    # The log's fields end at a blank.
    tap.ok(tags == [("0x3000", "a"), ("0x1", "n" * 63)], "two tags, one cut short", [tags])
    tap.ok(all(int(f["pcs"]) > 1 for f in log.all("event tag")), "tags have call sites")
    tap.ok([f["len"] for f in log.all("event untag")] == ["0x1000"], "one tag taken away")
    births = [(f["phase"], f["now"]) for f in log.all("birth")]
    tap.ok(births == [("serve", "serve")], "the fork is in its parent's phase", [births])
    ends = [(f["pid"], f["now"]) for f in log.all("exit")]
    tap.ok([now for _, now in ends] == ["child", "serve"], "phases at the end", [ends])


def run_pages(tap):
    """What the preload itself costs in private pages: per process, and per fork."""
    host = program("HOST_PAGES")
    if os.geteuid():
        skip("frames cannot be read: not root")

    def shot(output):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", output)}

    def least(shots):
        return {key: min(s.get(key, 99) for s in shots) for key in ("private", "parent", "child")}
    # Where a stack frame meets a page's end is luck: the best of some runs.
    alone = least([shot(run([host, "fork"])[1]) for _ in range(6)])
    runs = [traced([host, "fork"]) for _ in range(6)]
    with_us = least([shot(out) for _, out, _, _, _ in runs])
    tap.ok(not any(status for status, *_ in runs), "all runs", [err for _, _, err, _, _ in runs])
    bad = [line for _, _, _, log, _ in runs for line in adds_up(log)]
    tap.note(f"alone {alone}, traced {with_us}")
    tap.ok(not bad, "what was heard adds up", bad)
    # The library's two pages of data, and what the loader keeps of one more library.
    tap.ok(with_us["private"] <= alone["private"] + 4, "private pages of a process: 4 more at most")
    tap.ok(with_us["parent"] <= alone["parent"], "pages copied by the parent for a fork: no more")
    tap.ok(with_us["child"] <= alone["child"], "pages copied by the child until it can act: no more")


def run_stacks(tap):
    """Each new thread's stack is told, guard included, as the kernel has it."""
    status, out, err, log, _ = traced([program("HOST_MISC"), "stacks"])
    told = [f"{f['addr']} {f['len']}" for f in log.all("event thread")]
    tap.ok(status == 0, "stacks of threads", [err])
    tap.ok(told == out.split("\n")[:-1] and len(told) == 5, "told as they are mapped",
           [f"told {told}", f"mapped {out.split()}"])


# How many forks a trace must hold; not named: it is not the same each time.
FORKS = {"storm": 150, "threads": 100, "burst": 200, "vfork": 0, "clone": 30,
         "pidns": 0, "daemon": 3, "nproc": 0, "chain": 0, "closefds": 20, "tinystack": 50,
         "seccomp": 4, "unmap": 5, "dlopen": 60, "exits": 30, "longjmp": 20, "deep": 1}


def run_recorded(tap, engine):
    """The same programs under the real recorder."""
    cowtrace = program("COWTRACE")
    env = dict(os.environ, HOST_SLOW="20") if engine == "uffd" else None
    for group in ("forks", "exec", "misc", "results"):
        host = program("HOST_" + group.upper())
        for case in CASES[group]:
            with folder() as tmp:
                trace = os.path.join(tmp, "t.cowtrace")
                want = run([host, case])
                status, out, err = run([cowtrace, "record", "--quiet", "--engine", engine,
                                        "-o", trace, "--", host, case], env)
                report = run([cowtrace, "report", "--format", "json", trace])
            tap.ok((status, out) == want[:2], f"{group} {case}: recorded, the same", [status, err])
            try:
                forks = len(json.loads(report[1])["forks"])
            except (ValueError, KeyError):
                forks = report[2]
            want = FORKS.get(case)
            tap.ok(forks == want or (want is None and isinstance(forks, int)),
                   f"{group} {case}: {forks} forks in the trace, of {want}", [report[2]])


def run_beside(tap):
    """Another preload before and after ours, and another allocator."""
    ours, other = program("PRELOAD"), program("OTHER")
    host = program("HOST_MISC")
    for preload in (f"{ours}:{other}", f"{other}:{ours}"):
        # The other's handlers cannot be interrupted by a fork: one run in eighty hangs
        # with it alone, too.
        for group in ("forks", "exec", "misc"):
            run_group(tap, group, preload, without=("sigfork",))
        _, _, _, log, _ = traced([host, "exits"], preload)
        normal = [f for f in log.all("exit") if f["parent"] == "0"]
        tap.ok([f["now"] for f in normal] == ["other_atexit"],
               "the last reading comes after every destructor and exit handler", [normal])
        _, _, _, log, _ = traced([program("HOST_FORKS"), "daemon"], preload)
        phases = {f["phase"] for f in log.all("birth")}
        tap.ok("other_prepare" in phases, "its prepare handler runs before ours", [phases])
    # jemalloc's own handlers cannot be interrupted by a fork: it hangs alone, too.
    if any(os.path.exists(os.path.join(d, "libjemalloc.so.2"))
           for d in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
                     "/lib/aarch64-linux-gnu", "/usr/lib64")):
        run_group(tap, "forks", f"{ours}:libjemalloc.so.2", without=("sigfork",))
        run_group(tap, "misc", f"{ours}:libjemalloc.so.2")
    else:
        tap.note("jemalloc is not installed: not tried beside it")


def run_faults(tap):
    """The recorder dies, stops or is late at a point: nothing waits beyond the bound."""
    forks, execs = program("HOST_FORKS"), program("HOST_EXEC")
    base = ["-H", str(HOLD_MS)]
    for argv in ([forks, "clone"], [forks, "threads"], [execs, "chain"]):
        name = " ".join([os.path.basename(argv[0]), argv[1]])
        status, _, err, _, plain = traced(argv, options=base)
        tap.ok(status == 0, f"{name}: with a healthy recorder", [err])
        for what, letter in (("killed", "-k"), ("stopped", "-s")):
            points = ("hello:1", "hello:2", "take:1", "take:2", "take:9", "done:1", "done:5",
                      "event:1", "event:20")
            if what == "stopped" and argv[1] == "chain":
                points = points[::4]  # each image waits its second
            for point in points:
                status, out, err, _, seconds = traced(argv, options=[*base, letter, point])
                # An ask is waited for until hold; hello until its own second; a second
                # after the last heartbeat nothing is waited for at all.
                bound = plain + 1.5 + HOLD_MS / 1000 + \
                    (12 * 1.1 if what == "stopped" and argv[1] == "chain" else 1.2)
                tap.ok(status == 0 and seconds < bound,
                       f"{name}: recorder {what} at {point}: {seconds:.1f} s", [status, err])
    for option in (["-r"], ["-d", "30"]):
        status, _, err, _, seconds = traced([forks, "clone"], options=[*base, *option])
        tap.ok(status == 0, f"clone: recorder with {option}: {seconds:.1f} s", [err])
    status, _, err, log, seconds = traced([forks, "clone"], options=["-H", "20", "-d", "60"])
    late = [f for f in log.all("birth") if f["waited"] == "0"]
    tap.ok(status == 0 and late, f"clone: answers after the bound: {len(late)} said to be late",
           [status, err])
    env = dict(os.environ, LD_PRELOAD=program("PRELOAD"))
    tap.ok(run([forks, "clone"], env)[0] == 0, "clone: no recorder at all")
    for address in ("", "x", ":", "no-such-socket:" + "0" * 32, "x" * 300 + ":" + "0" * 32):
        status = run([forks, "clone"], dict(env, COWTRACE_RECORDER=address))[0]
        tap.ok(status == 0, f"clone: COWTRACE_RECORDER={address[:24]}")


def main():
    tap = Tap()
    if sys.argv[1] == "-u":
        if not os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
            skip("no /dev/userfaultfd, or not for us")
        ENGINE.append(sys.argv.pop(1))
    what = sys.argv[1]
    if not re.fullmatch("[a-z-]+", what):
        sys.exit(__doc__)
    if what == "recorded":
        run_recorded(tap, "census")
    elif what in ("recorded-uffd", "recorded-perf"):
        run_recorded(tap, what.split("-")[1])
    elif what == "beside":
        run_beside(tap)
    elif what == "api":
        run_api(tap)
    elif what == "pages":
        run_pages(tap)
    elif what == "faults":
        run_faults(tap)
    else:
        run_group(tap, what)
    if what == "misc":
        run_stacks(tap)
    tap.done()


if __name__ == "__main__":
    main()

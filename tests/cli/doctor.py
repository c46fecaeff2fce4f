#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
cowtrace doctor where something is taken away: its verdict and exit status, the engine,
the one line of the thing that is missing, and that what it offers as a remedy is one.

usage: doctor.py fast     everything once; a command and a status each
       doctor.py record   `record` takes the engine that the doctor names; each
                          capability dropped by itself
       doctor.py kept     settings are put back though the test is killed
The build tells the programs by environment: COWTRACE, CONFINE.
"""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import schema

USER = 64322
STATUS = {"full": 0, "partial": 1, "none": 2}
PARANOID = "/proc/sys/kernel/perf_event_paranoid"
UNPRIVILEGED = "/proc/sys/vm/unprivileged_userfaultfd"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"


def setpriv(*options):
    return ["/usr/bin/setpriv", *options]


def without(cap):
    return setpriv(f"--bounding-set=-{cap}")


def user(*more):
    return setpriv(f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
                   *(more or ["--bounding-set=-all", "--inh-caps=-all"]))


def mounted(script, *then):
    """Behind a mount namespace of its own, as the script leaves it."""
    return ["/usr/bin/unshare", "-m", "/bin/sh", "-ec", script + '\nexec "$@"', "-", *then]


# The device as everybody may open it; the true one is left as it is.
OPEN_DEVICE = """d=$(mktemp -d); mount -t tmpfs -o mode=755 none "$d"
mknod -m 666 "$d/u" c 10 "$(awk '$2 == "userfaultfd" { print $1 }' /proc/misc)"
mount --bind "$d/u" /dev/userfaultfd"""
NO_DEVICE = "mount -t tmpfs -o mode=755 none /dev"
OTHER_DEVICE = "mount --bind /dev/null /dev/userfaultfd"
NO_PROC = "mount -t tmpfs none /proc"
CAPS = "+sys_ptrace,+sys_admin,+dac_read_search"


def doctor(prefix):
    done = subprocess.run([*prefix, harness.program("COWTRACE"), "doctor", "--format", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=120)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return done.returncode, None, done.stderr.decode()
    return done.returncode, found, done.stderr.decode()


def check_of(found, name):
    return next((c for c in found["checks"] if c["id"] == name), None)


def coherent(status, found):
    """What holds everywhere."""
    yield from schema.complaints("doctor", found)
    if status != STATUS[found["verdict"]]:
        yield f"status {status}, verdict {found['verdict']}"
    ids = [c["id"] for c in found["checks"]]
    if len(ids) != len(set(ids)) or len(ids) < 12:
        yield f"checks: {ids}"
    for c in found["checks"]:
        if c["result"] in ("less", "no") and not c["lost"]:
            yield f"{c['id']}: {c['result']}, and nothing is lost"
        if c["result"] == "ok" and (c["lost"] or c["fixes"]):
            yield f"{c['id']}: ok, and to be mended"
    able = {e["name"]: e["ability"] for e in found["engines"]}
    best = next((n for n, a in able.items() if a != "cannot"), None)
    if found["verdict"] != "none" and found["engine"] != best:
        yield f"engine {found['engine']} of {able}"
    if found["verdict"] == "full" and able["uffd"] != "whole":
        yield f"full, and {able}"


def judge(row):
    """A row is: name, command in front, verdict, engine, {check: result}, {check: remedy}."""
    _, prefix, verdict, engine, results, remedies = row
    status, found, err = doctor(prefix)
    if found is None:
        return [f"status {status}: {err}"]
    wrong = list(coherent(status, found))
    if (found["verdict"], found["engine"]) != (verdict, engine):
        wrong.append(f"{found['verdict']}, {found['engine']}; expected {verdict}, {engine}: "
                     f"{found['why']}")
    for name, result in results.items():
        c = check_of(found, name)
        if not c or c["result"] != result:
            wrong.append(f"{name}: {c}, expected {result}")
    for name, words in remedies.items():
        texts = [f["text"] for f in (check_of(found, name) or {"fixes": []})["fixes"]]
        wrong += [f"{name}: no \"{w}\" in {texts}" for w in words if not any(w in t for t in texts)]
    return wrong


def rows():
    """Where the doctor is asked; only what differs from root's answer is named."""
    confine = harness.program("CONFINE")
    yield "root", [], "full", "uffd", {"page_frames": "ok", "cap_sys_ptrace": "ok"}, {}
    yield "no CAP_SYS_PTRACE", without("sys_ptrace"), "partial", "perf", \
        {"cap_sys_ptrace": "no", "uffd_device": "ok", "page_frames": "ok"}, \
        {"cap_sys_ptrace": ["--cap-add SYS_PTRACE", "CAP_SYS_PTRACE"]}
    yield "no CAP_SYS_ADMIN", without("sys_admin"), "partial", "uffd", \
        {"page_frames": "less", "page_flags": "less", "cap_sys_ptrace": "ok"}, \
        {"page_frames": ["--cap-add SYS_ADMIN"]}
    yield "no CAP_KILL", without("kill"), "partial", "uffd", {"cap_kill": "less"}, \
        {"cap_kill": ["--cap-add KILL"]}
    yield "few files", ["/usr/bin/prlimit", "--nofile=1024:1024", *without("sys_resource")], \
        "partial", "uffd", {"open_files": "less"}, {"open_files": ["LimitNOFILE=13312"]}
    if can_run(["/usr/bin/prlimit", "--nofile=1024:1024", "/usr/bin/prlimit", "--nofile=20000"]):
        yield "few files, may be raised", ["/usr/bin/prlimit", "--nofile=1024:1024"], "full", \
            "uffd", {"open_files": "ok"}, {}
    yield "no CAP_SYS_NICE", without("sys_nice"), "full", "uffd", {"realtime": "info"}, \
        {"realtime": ["LimitRTPRIO=1"]}
    yield "no device", mounted(NO_DEVICE), "partial", "perf", {"uffd_device": "no"}, \
        {"uffd_device": ["mknod", "--device /dev/userfaultfd", "DeviceAllow="]}
    yield "another device", mounted(OTHER_DEVICE), "partial", "perf", {"uffd_device": "no"}, {}
    yield "signal ignored", ["/bin/bash", "-c", "trap '' 62; exec \"$@\"", "-"], "partial", "uffd", \
        {"signal": "less"}, {"signal": ["--default-signal=62"]}
    yield "no signals queued", ["/usr/bin/prlimit", "--sigpending=0"], "partial", "uffd", \
        {"signal": "less"}, {"signal": ["ulimit -i", "LimitSIGPENDING="]}
    yield "seccomp", [confine], "full", "uffd", {"seccomp": "info", "uffd_call": "info"}, {}
    yield "seccomp, few capabilities", [*setpriv("--bounding-set=-all,+chown"), confine], \
        "partial", "census", {"uffd_call": "info", "cap_sys_ptrace": "no", "perf_events": "less"}, \
        {"perf_events": ["--cap-add PERFMON", "SystemCallFilter=perf_event_open"]}
    yield "no memfd_create", [confine, "-x", "memfd_create"], "none", None, \
        {"shared_memory": "no"}, {"shared_memory": ["memfd_create"]}
    yield "no sockets", [confine, "-x", "socket"], "none", None, {"unix_socket": "no"}, {}
    yield "no /proc", mounted(NO_PROC), "none", None, {"pagemap": "no"}, \
        {"pagemap": ["mount -t proc"]}
    yield "user", user(), "partial", "perf", \
        {"uffd_device": "no", "cap_sys_ptrace": "no", "page_frames": "less", "cap_kill": "ok"}, \
        {"uffd_device": ["sudo cowtrace record --user", "chgrp"], "page_frames": ["sudo"]}
    yield "user with the device", mounted(OPEN_DEVICE, *user()), "partial", "perf", \
        {"uffd_device": "ok", "cap_sys_ptrace": "no"}, {}
    yield "user with all that was asked for", mounted(OPEN_DEVICE, *user(
        f"--inh-caps={CAPS}", f"--ambient-caps={CAPS}")), "full", "uffd", \
        {"uffd_device": "ok", "cap_sys_ptrace": "ok", "page_frames": "ok"}, {}
    yield "user namespace", ["/usr/bin/unshare", "-Ur"], "partial", "perf", \
        {"cap_sys_ptrace": "no", "page_frames": "less", "user_namespace": "info"}, \
        {"cap_sys_ptrace": ["--userns=host"]}
    yield "pid namespace", ["/usr/bin/unshare", "-mpf", "--mount-proc"], "full", "uffd", \
        {"pid_namespace": "info"}, {}


def can_run(prefix):
    return subprocess.run([*prefix, "/bin/true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False, timeout=60).returncode == 0


def sysctls(tap):
    """What a level forbids is tried; the words name the level."""
    with harness.kept(PARANOID, UNPRIVILEGED):
        for level in ("-1", "1", "2"):
            harness.write_file(PARANOID, level)
            _, found, err = doctor(user())
            kernel = check_of(found, "perf_kernel") if found else None
            text = check_of(found, "perf_events")["text"] if found else err
            want = "info" if level == "2" else "ok"
            tap.ok(kernel and kernel["result"] == want and f"paranoid is {level}" in text,
                   f"perf_event_paranoid {level}", [kernel, text])
            if level == "2":
                tap.ok(any("perf_event_paranoid=1" in f["text"] for f in kernel["fixes"]),
                       "and what to set", [kernel])
        for value in ("0", "1"):
            harness.write_file(UNPRIVILEGED, value)
            status, found, err = doctor([])
            text = check_of(found, "uffd_sysctl")["text"] if found else err
            tap.ok(status == 0 and f"unprivileged_userfaultfd is {value};" in text,
                   f"vm.unprivileged_userfaultfd {value} does not matter", [status, text])


def settings(tap):
    """Values are the kernel's own, and each has a meaning."""
    _, found, _ = doctor([])
    told = {s["id"]: s["value"] for s in found["settings"]}
    with open("/proc/sys/vm/overcommit_memory", encoding="ascii") as f:
        tap.ok(told.get("overcommit") == f.read().strip(), "overcommit as it is", [told])
    if os.path.exists(THP):
        chosen = harness.read_file(THP)
        tap.ok(f"[{told.get('thp_enabled')}]" in chosen, "huge pages as they are", [told, chosen])


def run(*args):
    return subprocess.run([harness.program("COWTRACE"), "doctor", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=120)


def words(tap):
    """For people: the answer first, a line for each check, the same verdict."""
    text, quiet, bad, more = run(), run("-q"), run("--no-such"), run("now")
    out = text.stdout.decode()
    _, found, _ = doctor([])
    tap.ok(out.lower().startswith(found["verdict"]) and text.returncode == quiet.returncode
           and not quiet.stdout, "the answer, and quiet", [out[:200], quiet])
    missing = [c["id"] for c in found["checks"] if c["name"] not in out]
    missing += [s["id"] for s in found["settings"] if s["meaning"].split()[0] not in out]
    tap.ok(not missing, "every check and setting", missing)
    tap.ok((bad.returncode, more.returncode) == (64, 64) and bad.stderr and more.stderr
           and not bad.stdout, "a mistake in the command line is none of the answers", [bad, more])
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([harness.program("COWTRACE"), "doctor"], stdout=full,
                              stderr=subprocess.PIPE, check=False, timeout=60)
    tap.ok(done.returncode == 74 and done.stderr, "nor is a full disk", [done])


def capabilities():
    path = "/proc/sys/kernel/cap_last_cap"
    names = subprocess.run(["/usr/bin/setpriv", "--list-caps"], stdout=subprocess.PIPE,
                           check=True).stdout.decode().split()
    return names[:int(harness.read_file(path)) + 1]


def each_capability(tap):
    """All but these three are of no use to a recorder that is root."""
    for cap in capabilities():
        want = {"sys_ptrace": ("partial", "perf"), "sys_admin": ("partial", "uffd"),
                "kill": ("partial", "uffd")}.get(cap, ("full", "uffd"))
        wrong = judge((cap, without(cap), *want, {}, {}))
        tap.ok(not wrong, f"without {cap}", wrong)


def recorded(tap):
    """The engine that the doctor names is the one that record takes, and it works."""
    with harness.folder() as where:
        for row in rows():
            name, prefix, verdict, engine = row[:4]
            if not can_run(prefix):
                continue
            trace = os.path.join(where, "t.cowtrace")
            done = subprocess.run([*prefix, harness.program("COWTRACE"), "record", "-o", trace,
                                   "--", "/bin/sh", "-c", "(exit 0); :"], check=False,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
            err = done.stderr.decode()
            if verdict == "none":
                tap.ok(done.returncode == 125 and not os.path.exists(trace), f"{name}: refused",
                       [done.returncode, err])
                continue
            rep = harness.report(trace) if done.returncode == 0 else {}
            tap.ok(rep.get("engine") == engine and rep.get("complete")
                   and rep["engine_why"] in err, f"{name}: recorded with {engine}",
                   [done.returncode, err, rep.get("engine_why")])
            os.unlink(trace)


def kept_when_killed(tap):
    """A test that is killed in the middle leaves nothing behind."""
    before = harness.read_file(PARANOID)
    other = "1" if before.strip() != "1" else "2"
    code = f"import sys, time; sys.path.insert(0, {os.path.dirname(harness.__file__)!r})\n" \
           f"import harness\nwith harness.kept({PARANOID!r}):\n" \
           f"  harness.write_file({PARANOID!r}, {other!r})\n" \
           f"  print('set', flush=True)\n  time.sleep(600)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as p:
        said = p.stdout.readline()
        during = harness.read_file(PARANOID).strip()
        p.send_signal(signal.SIGKILL)
    with harness.kept(PARANOID):
        # Whoever has the lock after the keeper sees what it left.
        after = harness.read_file(PARANOID)
    tap.ok(said == b"set\n" and during == other and after == before,
           "a setting is put back by whoever is left", [said, during, after])


def main():
    tap = harness.Tap()
    if os.geteuid() != 0:
        harness.skip("only root can take something away")
    if run("-q").returncode:
        harness.skip(f"not all is permitted here: {run().stdout.decode().splitlines()[:1]}")
    if sys.argv[1] == "fast":
        for row in rows():
            if not can_run(row[1]):
                tap.note(f"{row[0]}: cannot be made here")
                continue
            wrong = judge(row)
            tap.ok(not wrong, row[0], wrong)
        words(tap)
        settings(tap)
    elif sys.argv[1] == "record":
        recorded(tap)
        each_capability(tap)
    else:
        sysctls(tap)
        kept_when_killed(tap)
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
One recorder for many programs: they come and go, and so does it.

usage: listen.py CASE...
"""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys

import recorder
from recorder import Listener, Program, harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "exact"))
import exact

NOBODY = 65534
GROUP, GROUP_ID = "daemon", 1
AS_NOBODY = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}"]


def roots_of(rep):
    return [p for p in rep["processes"] if not p["parent_id"]]


def forkloads(path, nr, options):
    """What nr of them, at the same time, say that they did; None when one was disturbed."""
    runs = [subprocess.Popen([harness.program("FORKLOAD"), *options], stdout=subprocess.PIPE,
                             env=recorder.environment(path), text=True) for _ in range(nr)]
    truths = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    return None if any(t["moved_pages"] for t in truths) else truths


def merged(truths):
    return {"forks": [f for t in truths for f in t["forks"]], "regions": truths[0]["regions"]}


def together(tap, where):
    """Two programs at once and one after them, in one trace: every count is right."""
    if os.geteuid() != 0:
        harness.skip("page frames are for root only")
    with harness.settled_pages():
        for nr in range(10):
            rec = Listener(where, ["--quiet", "--engine", "census"], name=f"t{nr}")
            harness.wait_until(lambda: os.path.exists(rec.path), 60, "the socket")
            truths = forkloads(rec.path, 2, ["--tag"])
            last = forkloads(rec.path, 1, ["--tag"])
            status = rec.stop()
            if truths and last:
                break
    truths += last
    rep = harness.report(rec.trace)
    tap.ok(status == 0 and rep["complete"], "together: status 0, a complete trace",
           [f"status {status}", rec.err()])
    tap.ok(all(t["ok"] for t in truths), "together: forkload agrees with itself")
    wrong = list(exact.exact(merged(truths), rep))
    tap.ok(not wrong, "together: every count of three programs", wrong)
    tap.ok(len(roots_of(rep)) == 3, "together: three roots", [str(roots_of(rep))])
    tap.ok(not os.path.exists(rec.path), "together: the socket is removed")
    text = subprocess.run([harness.program("COWTRACE"), "report", "--top", "0", rec.trace],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    tap.ok(text.startswith(f"cowtrace record --listen {rec.path}\n"), "together: the report's head",
           text.splitlines()[:2])
    rows = [line.split() for line in text.split("PROCESSES")[1].splitlines()[2:]]
    pids = [r[0] for r in rows if r and r[0].isdigit()]
    tap.ok(all(str(p["pid"]) in pids for p in roots_of(rep)), "together: the roots in the text",
           text.split("PROCESSES")[1].splitlines())


def absent(tap, where):
    """Nobody listens: not a word, and nothing else either."""
    paths = {"no socket": os.path.join(where, "socket"),
             "no folder": os.path.join(where, "nowhere", "socket"),
             "an impossible path": "/" + "x" * 150, "an empty path": "/"}
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stale.bind(os.path.join(where, "stale"))
    stale.close()
    paths["a stale socket"] = os.path.join(where, "stale")
    paths["no socket but a file"] = os.path.join(where, "file")
    harness.write_file(os.path.join(where, "file"), "x")
    for name, path in paths.items():
        program = Program(path)
        program.fork()
        attached = program.attached()
        err = program.end()
        tap.ok(not attached and not err, f"absent: {name}", [err])


def survives(tap, where):
    """The recorder dies and comes again: who was there goes on, who starts then attaches."""
    first = Listener(where, name="first").ready()
    old = Program(first.path)
    old.fork()
    tap.ok(old.attached(), "survives: attached")
    first.kill()
    children = [old.fork() for _ in range(3)]
    tap.ok(len(set(children)) == 3, "survives: the program forks on without a recorder")
    tap.ok(os.path.exists(first.path), "survives: a stale socket is left")
    second = Listener(where, name="second").ready()
    old.fork()
    new = Program(second.path)
    wanted = new.fork()
    tap.ok(new.attached(), "survives: a new program attaches to the new recorder")
    tap.ok(not old.end() and not new.end(), "survives: nothing said")
    status = second.stop(signal.SIGINT)
    rep = harness.report(second.trace)
    tap.ok(status == 0 and rep["complete"], "survives: SIGINT ends it with a complete trace",
           [f"status {status}", second.err()])
    tap.ok([(f["parent_pid"], f["child_pid"]) for f in rep["forks"]] == [(new.pid, wanted)],
           "survives: the new program's fork, and nothing of the old one's", [str(rep["forks"])])
    torn = harness.report(first.trace)
    tap.ok(not torn["complete"] and len(roots_of(torn)) <= 1, "survives: the first trace says so")


def orphaned(tap, where):
    """The supervisor alone is killed: its recorder ends the trace, and can be succeeded."""
    rec = Listener(where).ready()
    program = Program(rec.path)
    program.fork()
    mine = rec.children()
    harness.kill(rec.process.pid)
    rec.process.wait(60)
    harness.wait_until(lambda: not any(harness.alive(pid) for pid in mine), 60, "its end")
    rep = harness.report(rec.trace)
    tap.ok(rep["complete"] and len(rep["forks"]) == 1, "orphaned: a complete trace",
           [str(rep["why_incomplete"])])
    program.fork()
    tap.ok(not program.end(), "orphaned: the program goes on")
    after = Listener(where, name="after").ready()
    tap.ok(after.stop() == 0, "orphaned: another takes the path over", [after.err()])


def live(tap, where):
    """The path of a recorder that answers is its own."""
    rec = Listener(where).ready()
    for _ in range(3):
        other = Listener(where, name="other")
        status = other.process.wait(60)
        tap.ok(status == 121 and "answers there" in other.err(), "live: refused",
               [f"status {status}", other.err()])
    program = Program(rec.path)
    program.fork()
    tap.ok(program.attached(), "live: the first still is there")
    program.end()
    tap.ok(rec.stop() == 0 and len(harness.report(rec.trace)["forks"]) == 1, "live: and records")


def race(tap, where):
    """Several start at once on a stale path: one gets it, and it is that one who answers."""
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stale.bind(os.path.join(where, "socket"))
    stale.close()
    all_of_them = [Listener(where, name=f"r{i}") for i in range(6)]
    harness.wait_until(lambda: sum(r.process.poll() is None for r in all_of_them) == 1, 60,
                       "one of six")
    winner = [r for r in all_of_them if r.process.poll() is None][0].ready()
    program = Program(winner.path)
    program.fork()
    program.end()
    tap.ok(winner.stop() == 0 and len(harness.report(winner.trace)["forks"]) == 1,
           "race: the one that stays records", [winner.err()])
    tap.ok(all(r.process.returncode == 121 for r in all_of_them if r is not winner),
           "race: the others say why")


def permissions(tap, where):
    """Who may attach is who may connect."""
    if os.geteuid() != 0:
        harness.skip("changing users is for root only")
    old = os.umask(0)
    rec = Listener(where).ready()
    os.umask(old)
    mode = os.stat(rec.path).st_mode & 0o7777
    tap.ok(mode == 0o600, "permissions: 0600 whatever the umask", [oct(mode)])
    stranger = Program(rec.path, prefix=[*AS_NOBODY, "--clear-groups"])
    stranger.fork()
    tap.ok(not stranger.attached() and not stranger.end(), "permissions: another user goes untraced")
    rec.stop()
    rec = Listener(where, ["--listen-group", GROUP], name="group").ready()
    st = os.stat(rec.path)
    tap.ok((st.st_mode & 0o7777, st.st_gid) == (0o660, GROUP_ID), "permissions: 0660 of the group")
    member = Program(rec.path, prefix=[*AS_NOBODY, f"--groups={GROUP_ID}"])
    stranger = Program(rec.path, prefix=[*AS_NOBODY, "--clear-groups"])
    mine = Program(rec.path)
    pids = {p.pid for p in (member, mine) if p.fork()}
    stranger.fork()
    tap.ok(member.attached() and mine.attached() and not stranger.attached(),
           "permissions: a member attaches, and root")
    for p in (member, stranger, mine):
        p.end()
    status = rec.stop()
    rep = harness.report(rec.trace)
    tap.ok(status == 0 and {f["parent_pid"] for f in rep["forks"]} == pids,
           "permissions: programs of two users in one trace")


def impostor(tap, where):
    """A socket of another user's at the path: root's programs tell him nothing."""
    if os.geteuid() != 0:
        harness.skip("changing users is for root only")
    path = os.path.join(where, "socket")
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(path)
        sock.listen()
        os.write(told, b"x")
        peer, _ = sock.accept()
        os._exit(len(peer.recv(4096)) != 0)
    os.read(ready, 1)
    program = Program(path)
    program.fork()
    tap.ok(not program.attached() and not program.end(), "impostor: the program goes untraced")
    _, status = os.waitpid(pid, 0)
    tap.ok(status == 0, "impostor: he was told nothing")


class SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def allow_everything():
    """A seccomp filter that forbids nothing: but who could know?"""
    libc = ctypes.CDLL(None)
    code = struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)
    buf = ctypes.create_string_buffer(code)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.byref(SockFprog(1, ctypes.addressof(buf))), 0, 0):
        os._exit(99)


def filters(tap, where):
    """Under a seccomp filter a program attaches when it is told that it may."""
    rec = Listener(where).ready()
    for path, wanted in ((rec.path, False), (rec.path + ":any", True)):
        run = subprocess.Popen(["/bin/cat"], env=recorder.environment(path),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               preexec_fn=allow_everything)
        run.stdin.write(b"x")
        run.stdin.flush()
        run.stdout.read1(1)
        attached = "cowtrace-segment" in harness.read_file(f"/proc/{run.pid}/maps")
        tap.ok(attached == wanted, f"filters: {path[len(where):]} {'attaches' if wanted else ''}")
        run.communicate(timeout=60)
    tap.ok(rec.stop() == 0, "filters: complete")


def namespaces(tap, where):
    """Of another pid namespace nobody is taken in: pids there are other processes' here."""
    if os.geteuid() != 0:
        harness.skip("a pid namespace is for root only")
    rec = Listener(where).ready()
    done = subprocess.run(
        ["/usr/bin/unshare", "--pid", "--fork", "/usr/bin/env",
         f"LD_PRELOAD={harness.program('PRELOAD')}", f"COWTRACE_RECORDER={rec.path}",
         "/bin/grep", "-c", "cowtrace-segment", "/proc/thread-self/maps"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if "unshare" in done.stderr:
        harness.skip("no pid namespace here")
    tap.ok("1" not in done.stdout, "namespaces: not attached", [done.stdout, done.stderr])
    rec.stop()
    notes = [n["code"] for n in harness.report(rec.trace)["notes"]]
    tap.ok("other_pid_namespace" in notes, "namespaces: and the report says why", [str(notes)])


def notify(tap, where):
    """What a service manager is told."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(os.path.join(where, "notify"))
    manager.settimeout(60)
    for name in ("path", "abstract"):
        address = os.path.join(where, "notify")
        if name == "abstract":
            manager.close()
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            address = f"@cowtrace-test-{os.getpid()}"
            manager.bind("\0" + address[1:])
            manager.settimeout(60)
        rec = Listener(where, ["--quiet"], name=name, env={
            **os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"})
        first = manager.recv(4096).decode()
        tap.ok(first.startswith("READY=1\n") and rec.path in first, f"notify: {name}: READY", [first])
        program = Program(rec.path)
        program.fork()
        tap.ok(program.attached(), f"notify: {name}: and it is")
        program.end()
        signs = [manager.recv(4096).decode() for _ in range(4)]
        tap.ok(signs == ["WATCHDOG=1"] * 4, f"notify: {name}: signs of life", signs)
        rec.process.terminate()
        rest = []
        while not rest or not rest[-1].startswith("STOPPING=1"):
            rest.append(manager.recv(4096).decode())
        tap.ok(set(rest[:-1]) <= {"WATCHDOG=1"}, f"notify: {name}: STOPPING", rest)
        tap.ok(rec.stop() == 0, f"notify: {name}: status 0")
    # Of somebody else's watchdog, and of a manager that has gone, there is nothing to hear.
    manager.close()
    rec = Listener(where, name="gone", env={**os.environ, "NOTIFY_SOCKET": "/nowhere/at/all"})
    tap.ok(rec.ready().stop() == 0, "notify: nobody there")


def unit_line(unit, name):
    return [line.split("=", 1)[1] for line in unit.splitlines() if line.startswith(name + "=")]


def verified(tap, where):
    """systemd's own opinion of the two files."""
    analyze = "/usr/bin/systemd-analyze"
    if not os.access(analyze, os.X_OK):
        tap.note("systemd-analyze is not here: the units are not verified")
        return
    service = harness.read_file(os.path.join(os.environ["UNITS"], "cowtrace.service"))
    drop_in = harness.read_file(os.path.join(os.environ["UNITS"], "redis-server-cowtrace.conf"))
    command = unit_line(service, "ExecStart")[0].split()[0]
    units = {"cowtrace.service": service.replace(command, harness.program("COWTRACE")),
             "redis-server.service": "[Service]\nExecStart=/bin/true\n"}
    os.mkdir(os.path.join(where, "redis-server.service.d"))
    units["redis-server.service.d/cowtrace.conf"] = drop_in
    for name, text in units.items():
        harness.write_file(os.path.join(where, name), text)
    for name in ("cowtrace.service", "redis-server.service"):
        done = subprocess.run([analyze, "verify", "--man=no", os.path.join(where, name)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False)
        tap.ok(done.returncode == 0 and where not in done.stdout, f"unit: {name} verified",
               done.stdout.splitlines())


def unit(tap, where):
    """The recorder of docs/cowtrace.service, with the capabilities that it has there."""
    if os.geteuid() != 0:
        harness.skip("capabilities are taken away by root only")
    verified(tap, where)
    text = harness.read_file(os.path.join(os.environ["UNITS"], "cowtrace.service"))
    caps = [cap[4:].lower() for cap in unit_line(text, "CapabilityBoundingSet")[0].split()]
    options = unit_line(text, "ExecStart")[0].split()[2:]
    for option in ("--listen", "--listen-group", "-o", "--engine"):
        at = options.index(option)
        del options[at:at + 2]
    options = [o for o in options if o != "--quiet"]
    keep = ",".join(["-all"] + ["+" + cap for cap in caps])
    prefix = ["/usr/bin/setpriv", f"--bounding-set={keep}", f"--inh-caps={keep}", "--no-new-privs"]
    for engine in ("census", "uffd"):
        if engine == "uffd" and not os.access("/dev/userfaultfd", os.W_OK):
            tap.note("no /dev/userfaultfd: not tried with the uffd engine")
            continue
        rec = Listener(where, [*options, "--listen-group", GROUP, "--engine", engine],
                       prefix=prefix, name=engine).ready()
        program = Program(rec.path, prefix=[*AS_NOBODY, f"--groups={GROUP_ID}"])
        program.fork()
        attached = program.attached()
        program.end()
        status = rec.stop()
        rep = harness.report(rec.trace)
        tap.ok(attached and status == 0 and len(rep["forks"]) == 1, f"unit: {engine}: records",
               [rec.err()])
        fork = rep["forks"][0]
        tap.ok(rep["page_frames"] and fork["child"]["copied"] >= 32,
               f"unit: {engine}: page frames of another user's program", [str(fork)])
        if engine == "uffd":
            tap.ok(fork["child"]["attributed"] >= 32, "unit: uffd: and its call sites",
                   [str(fork), *map(str, rep["notes"])])


CASES = {f.__name__: f for f in (together, absent, survives, orphaned, live, race, permissions,
                                 impostor, filters, namespaces, notify, unit)}


if __name__ == "__main__":
    harness.run_cases(CASES, sys.argv[1:])

# SPDX-License-Identifier: MIT
"""The figures: each function takes a Bench and returns a list of Figures."""
import json
import os
import socket
import statistics
import subprocess
import time

from harness import CannotRun, Figure, cpu_seconds, mem_available_mib, recorders, status_kib
from postgres import Postgres

FORKS = 8


def need_memory(mib):
    have = mem_available_mib()
    if have < mib:
        raise CannotRun("needs %d MiB of free memory, there are %d" % (mib, have))


def fork_figures(bench, label, mib, vmas, huge=False, limit=1.1, pause_ms=300):
    """Fork to return in the parent, and what the child was held for, by the trace."""
    need_memory(mib + 2048)
    argv = [bench.program("forks"), str(mib), str(vmas), str(FORKS), "0" if huge else "2000",
            str(pause_ms)]
    holds, sizes = [], []

    def once(traced):
        times = bench.run(argv + (["huge"] if huge else []), traced)
        if traced:
            rows = bench.query("SELECT hold_ns FROM forks WHERE hold_ns IS NOT NULL")
            holds.append(statistics.median(r[0] for r in rows))
            sizes.append(bench.file_size())
        # The first fork copies page tables whose pages nobody shared before.
        return statistics.median(times[1:]) / 1e6

    untraced, traced = bench.alternate(once)
    figures = [Figure("fork() in the parent, " + label, "ms", untraced, traced, limit)]
    if mib:
        per_gib = [h / 1e6 / (mib / 1024) for h in holds]
        figures.append(Figure("child's hold per GiB, " + label, "ms", value=per_gib, limit=12))
    else:
        figures.append(Figure("child's hold, " + label, "ms", value=[h / 1e6 for h in holds]))
    return figures


def fork_4gib(bench):
    return fork_figures(bench, "4 GiB of small pages", 4096, 0)


def fork_again(bench):
    """The next fork 20 ms after the last child's end: the recorder may still be reading."""
    return fork_figures(bench, "4 GiB, at once again", 4096, 0, limit=None, pause_ms=20)[:1]


def fork_huge(bench):
    return fork_figures(bench, "4 GiB of huge pages", 4096, 0, huge=True, limit=None)


def fork_vmas(bench):
    return fork_figures(bench, "300 VMAs", 0, 300, pause_ms=50)


def calls(bench):
    """The wrapped memory calls.  getppid is wrapped by nobody: the noise."""
    argv = [bench.program("calls")]
    untraced, traced = bench.alternate(lambda t: bench.run(argv, t))
    return [Figure(name + "()", "ns", [u[name] for u in untraced], [t[name] for t in traced])
            for name in ("mmap", "munmap", "madvise", "mprotect", "getppid")]


def idle(bench):
    """A program that forks nothing: its own speed, and what the recorder does meanwhile."""
    untraced, traced = bench.alternate(lambda t: bench.run([bench.program("idle")], t) / 1e6)
    seconds = 4
    bench.forget_trace()
    p = subprocess.Popen(bench.record_argv(["sleep", str(seconds + 1)]))
    time.sleep(0.5)
    before = sum(cpu_seconds(pid) for pid in recorders(p.pid))
    time.sleep(seconds)
    used = sum(cpu_seconds(pid) for pid in recorders(p.pid)) - before
    p.wait()
    return [Figure("computing, no fork", "ms", untraced, traced, 1.02),
            Figure("recorder's processor time while idle", "%", value=100 * used / seconds,
                   limit=1)]


class Listening:
    """A recorder for many programs, and what they are started with."""

    def __init__(self, bench):
        self.path = os.path.join(bench.tmp, "socket")
        bench.forget_trace()
        self.process = subprocess.Popen([bench.cowtrace, "record", "-q", "--listen", self.path,
                                         "--engine", "census", "-o", bench.trace])
        while not os.path.exists(self.path):
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.terminate()
        self.process.wait()


def preload(bench):
    return os.path.join(bench.build, "preload", "libcowtrace-preload.so")


def attached(bench):
    """A program that forks nothing, attached to a recorder of many."""
    with Listening(bench) as recorder:
        traced_env = {**os.environ, "LD_PRELOAD": preload(bench),
                      "COWTRACE_RECORDER": recorder.path}

        def once(traced):
            env = traced_env if traced else None
            return int(subprocess.check_output([bench.program("idle")], env=env)) / 1e6
        untraced, traced = bench.alternate(once)
    return [Figure("attached to a recorder of many, no fork", "ms", untraced, traced, 1.02)]


def nobody_listens(bench):
    """From vfork to the end of a program that does nothing: with the preload, and no recorder."""
    stale = os.path.join(bench.tmp, "stale")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(stale)
    figures = []
    for name, path in (("the preload alone", ""), ("nobody listens", "/nowhere/socket"),
                       ("a stale socket", stale)):
        def once(traced, path=path):
            env = dict(os.environ)
            if traced:
                env.update({"PROGRAM_PRELOAD": preload(bench), "COWTRACE_RECORDER": path})
            argv = [bench.program("start"), "500", "/bin/true"]
            return json.loads(subprocess.check_output(argv, env=env))[0] / 1e3
        untraced, traced = bench.alternate(once)
        figures.append(Figure("start and end of a program, " + name, "us", untraced, traced))
    return figures


def start_and_end(bench):
    """A command that does nothing at all: what a recording costs once."""
    def once(traced):
        argv = bench.record_argv(["true"]) if traced else ["true"]
        bench.forget_trace()
        t = time.monotonic()
        subprocess.run(argv, check=True)
        return (time.monotonic() - t) * 1e3
    untraced, traced = bench.alternate(once)
    return [Figure("a command that does nothing", "ms", value=[t - u for t, u in
                                                                zip(traced, untraced)])]


def recorder_memory(bench, mib=16384):
    """The greatest resident size of cowtrace's processes beside a large heap."""
    need_memory(mib + 2048)
    bench.forget_trace()
    p = subprocess.Popen(bench.record_argv([bench.program("forks"), str(mib), "0", "2", "100000",
                                         "300"]),
                         stdout=subprocess.DEVNULL)
    peak = {}
    while p.poll() is None:
        for pid in recorders(p.pid):
            # Shared memory is counted once for each process that maps it: private only.
            kib = status_kib(pid, "RssAnon") + status_kib(pid, "RssFile")
            peak[pid] = max(peak.get(pid, 0), kib)
            peak["hwm", pid] = max(peak.get(("hwm", pid), 0), status_kib(pid, "VmHWM"))
        time.sleep(0.005)
    if p.returncode:
        raise CannotRun("cowtrace record: exit status %d" % p.returncode)
    hwm = sum(v for k, v in peak.items() if isinstance(k, tuple)) / 1024
    private = sum(v for k, v in peak.items() if not isinstance(k, tuple)) / 1024
    return [Figure("recorder's memory, 16 GiB heap (VmHWM, all)", "MiB", value=hwm, limit=64),
            Figure("of it without the shared segment", "MiB", value=private)]


def report(bench):
    """Reading 1000 forks and 100,000 regions."""
    gen = os.path.join(bench.build, "bench", "gen-trace")
    bench.forget_trace()
    subprocess.run([gen, bench.trace, "1000", "100000"], check=True)

    def once(options):
        t = time.monotonic()
        subprocess.run([bench.cowtrace, "report", *options, bench.trace], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - t
    return [Figure("report, 1000 forks, 100,000 regions", "s",
                   value=[once([]) for _ in range(bench.rounds)], limit=2),
            Figure("the same as JSON", "s",
                   value=[once(["--format", "json"]) for _ in range(bench.rounds)], limit=2)]


def pgbench(bench):
    """A fork for each connection; Postgres runs as its own user."""
    holds = []

    with Postgres(bench) as server:
        def once(traced):
            with server.running(traced):
                rate = server.connect_rate()
            if traced:
                rows = bench.query("SELECT hold_ns FROM forks WHERE hold_ns IS NOT NULL")
                if not rows:
                    raise CannotRun("the trace of Postgres has no forks")
                holds.append(statistics.median(r[0] for r in rows) / 1e6)
            return rate
        untraced, traced = bench.alternate(once)
    return [Figure("pgbench -C, rate", "1/s", untraced, traced, 0.85, at_least=True),
            Figure("hold of a Postgres backend", "ms", value=holds, limit=1)]


ALL = [
    ("fork-4gib", fork_4gib),
    ("fork-again", fork_again),
    ("fork-huge", fork_huge),
    ("fork-vmas", fork_vmas),
    ("calls", calls),
    ("idle", idle),
    ("attached", attached),
    ("nobody", nobody_listens),
    ("start", start_and_end),
    ("pgbench", pgbench),
    ("report", report),
    ("memory", recorder_memory),
]

# SPDX-License-Identifier: MIT
"""A Redis server of our own, with and without cowtrace, and a load while it saves."""
import collections
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import CannotRun

KEYS = 1000000
REQUESTS = 200000
# The child sleeps for a moment after so many keys, so that its BGSAVE outlasts the load.
NAP_KEYS = 4

Result = collections.namedtuple("Result", "cpu_us rate fork_ms")


class Redis:
    def __init__(self, bench):
        for program in ("redis-server", "redis-benchmark"):
            if not shutil.which(program):
                raise CannotRun("no %s" % program)
        self.bench = bench
        self.folder = os.path.join(bench.tmp, "redis")
        self.socket = os.path.join(self.folder, "socket")

    def __enter__(self):
        os.makedirs(self.folder)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *words):
        """One command; the reply's text."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(b"*%d\r\n" % len(words) +
                      b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            f = s.makefile("rb")
            line = f.readline().decode()
            if line[:1] == "$":
                return f.read(int(line[1:])).decode()
            return line[1:].strip()

    def info(self, section, key):
        for line in self.ask("INFO", section).splitlines():
            if line.startswith(key + ":"):
                return line.split(":")[1]
        raise CannotRun("redis says no %s" % key)

    def benchmark(self, requests, pipeline, keys=KEYS):
        done = subprocess.run(
            ["redis-benchmark", "-s", self.socket, "-n", str(requests), "-r", str(keys), "-c", "20",
             "-d", "100", "-P", str(pipeline), "-q", "SET", "key:__rand_int__",
             "__data__"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        if done.returncode:
            raise CannotRun("redis-benchmark: status %d" % done.returncode)

    @contextlib.contextmanager
    def running(self, traced, options):
        argv = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder,
                "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]
        if traced:
            self.bench.forget_trace()
            argv = self.bench.record_argv(argv, options)
        p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    if self.ask("PING") == "PONG":
                        break
                time.sleep(0.05)
            else:
                raise CannotRun("redis-server does not start")
            self.pid = int(self.info("server", "process_id"))
            self.benchmark(3 * KEYS, 64)
            yield
            self.stop(p)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()

    def stop(self, p):
        os.kill(self.pid, signal.SIGTERM)
        p.wait(60)

    def cpu_ns(self):
        """Of the thread that answers requests."""
        with open("/proc/%d/schedstat" % self.pid) as f:
            return int(f.read().split()[0])

    def wait_for_bgsave(self):
        while self.info("persistence", "rdb_bgsave_in_progress") != "0":
            time.sleep(0.05)

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [int(x) for x in f.read().split()]

    def load_under_bgsave(self, keys):
        """REQUESTS of them, at random over so many keys, while a child saves them all."""
        # The first fork is another one's figure.
        self.ask("BGSAVE")
        self.wait_for_bgsave()
        self.ask("CONFIG", "SET", "rdb-key-save-delay", str(-NAP_KEYS))
        self.ask("BGSAVE")
        cpu, t = self.cpu_ns(), time.monotonic()
        self.benchmark(REQUESTS, 1, keys)
        cpu, t = self.cpu_ns() - cpu, time.monotonic() - t
        if self.info("persistence", "rdb_bgsave_in_progress") != "1":
            raise CannotRun("the BGSAVE ended before the load")
        fork_us = int(self.info("stats", "latest_fork_usec"))
        # As Redis itself ends a child that it needs no more.
        for pid in self.children():
            os.kill(pid, signal.SIGUSR1)
        self.wait_for_bgsave()
        return Result(cpu / REQUESTS / 1e3, REQUESTS / t, fork_us / 1e3)

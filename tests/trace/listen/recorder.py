# SPDX-License-Identifier: MIT
"""A recorder that listens, and programs that are started with the preload."""

import atexit
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import harness

# Forks once for each line it is given, writes a page of eight in the child, and says so.
FORKER = """
import os, sys
memory = bytearray(64 << 12)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        memory[:32 << 12:4096] = bytes([1]) * 32
        os._exit(0)
    os.waitpid(pid, 0)
    print(pid, flush=True)
"""


def environment(path, **more):
    return {**os.environ, "LD_PRELOAD": harness.program("PRELOAD"), "COWTRACE_RECORDER": path,
            **more}


class Listener:
    """One `cowtrace record --listen`."""

    def __init__(self, where, options=(), env=None, name="t", prefix=()):
        self.path = os.path.join(where, "socket")
        self.trace = os.path.join(where, f"{name}.cowtrace")
        self.err_path = self.trace + ".stderr"
        with open(self.err_path, "w", encoding="utf-8") as err:
            self.process = subprocess.Popen(
                [*prefix, harness.program("COWTRACE"), "record", "--listen", self.path, "-o",
                 self.trace, *options], stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=env)
        atexit.register(self.kill)

    def err(self):
        return harness.read_file(self.err_path)

    def ready(self):
        harness.wait_until(lambda: "listening" in self.err() or self.process.poll() is not None,
                           60, "the recorder")
        if self.process.poll() is not None:
            raise RuntimeError(f"the recorder ended: {self.err()}")
        return self

    def children(self):
        return harness.children(self.process.pid)

    def kill(self):
        """It and its recorder, without a word."""
        # Stopped first: it would see the other's end, and tidy up.
        harness.kill(self.process.pid, signal.SIGSTOP)
        for pid in [*self.children(), self.process.pid]:
            harness.kill(pid)
        self.process.wait(60)
        atexit.unregister(self.kill)

    def stop(self, sig=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(sig)
        status = self.process.wait(60)
        atexit.unregister(self.kill)
        return status


class Program:
    """FORKER, under the preload."""

    def __init__(self, path, prefix=(), preload=True):
        env = environment(path) if preload else {**os.environ, "COWTRACE_RECORDER": path}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", FORKER], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        atexit.register(self.kill)

    def fork(self):
        """The pid of the child, which has ended."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def attached(self):
        return "cowtrace-segment" in harness.read_file(f"/proc/{self.pid}/maps")

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def end(self):
        """What it left on stderr."""
        _, err = self.process.communicate(timeout=60)
        atexit.unregister(self.kill)
        if self.process.returncode:
            raise RuntimeError(f"status {self.process.returncode}: {err}")
        return err

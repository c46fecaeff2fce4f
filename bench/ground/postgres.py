# SPDX-License-Identifier: MIT
"""A throw-away Postgres cluster, not root, on a socket in a temporary directory."""
import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import time

from harness import CannotRun

USER = "postgres"
PORT = "54329"


class Postgres:
    def __init__(self, bench):
        self.bench = bench
        self.dir = os.path.join(bench.tmp, "pg")
        self.data = os.path.join(self.dir, "data")

    def _find(self, name):
        for d in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True) + ["/usr/bin"]:
            if os.access(os.path.join(d, name), os.X_OK):
                return os.path.join(d, name)
        raise CannotRun("no %s (install postgresql)" % name)

    def __enter__(self):
        if os.geteuid() != 0:
            raise CannotRun("Postgres is started as user %s: needs root" % USER)
        try:
            pw = pwd.getpwnam(USER)
        except KeyError:
            raise CannotRun("no user %s (install postgresql)" % USER)
        self.postgres = self._find("postgres")
        self.pgbench = self._find("pgbench")
        os.mkdir(self.dir)
        os.chown(self.dir, pw.pw_uid, pw.pw_gid)
        self._as_user([self._find("initdb"), "-D", self.data, "-A", "trust", "-N"])
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write("listen_addresses = ''\nunix_socket_directories = '%s'\nport = %s\n"
                    "fsync = off\nlogging_collector = off\n" % (self.dir, PORT))
        with self.running(False):
            self._as_user([self.pgbench, "-h", self.dir, "-p", PORT, "-i", "-s", "1", "-q",
                           "postgres"])
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir, ignore_errors=True)

    def _as_user(self, argv):
        p = subprocess.run(["runuser", "-u", USER, "--", *argv], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, cwd=self.dir, text=True)
        if p.returncode:
            raise CannotRun("%s: %s" % (argv[0], p.stdout.strip().splitlines()[-1:]))
        return p.stdout

    @contextlib.contextmanager
    def running(self, traced):
        argv = [self.postgres, "-D", self.data]
        if traced:
            self.bench.forget_trace()
            argv = self.bench.record_argv(argv, ["--user", USER])
        else:
            argv = ["runuser", "-u", USER, "--", *argv]
        with open(os.path.join(self.bench.tmp, "pg.log"), "a") as log:
            p = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.dir)
        try:
            self._wait_ready(p)
            yield
        finally:
            self._stop(p)

    def _postmaster(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as f:
                return int(f.readline())
        except (OSError, ValueError):
            return None

    def _wait_ready(self, p):
        for _ in range(600):
            if p.poll() is not None:
                raise CannotRun("Postgres did not start (exit status %d)" % p.returncode)
            try:
                with open(os.path.join(self.data, "postmaster.pid")) as f:
                    if f.read().splitlines()[7:8] == ["ready   "]:
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise CannotRun("Postgres is not ready after 30 s")

    def _stop(self, p):
        pid = self._postmaster()
        if pid:
            os.kill(pid, signal.SIGINT)
        try:
            p.wait(60)
        except subprocess.TimeoutExpired:
            p.kill()
            raise CannotRun("Postgres does not stop")

    def connect_rate(self, seconds=4):
        out = self._as_user([self.pgbench, "-h", self.dir, "-p", PORT, "-n", "-S", "-C", "-c", "4",
                             "-j", "2", "-T", str(seconds), "postgres"])
        m = re.search(r"tps = ([0-9.]+)", out)
        if not m:
            raise CannotRun("pgbench printed no tps")
        return float(m.group(1))

# SPDX-License-Identifier: MIT
"""Running things traced and untraced, and what comes of it: figures."""
import glob
import json
import os
import sqlite3
import statistics
import subprocess
import sys


class CannotRun(Exception):
    """This machine has not what the figure needs; the text says what."""


def say(text):
    sys.stderr.write(text + "\n")


class Figure:
    """One line of the table.  A figure is a ratio of two lists, or a value alone."""

    def __init__(self, name, unit="", untraced=None, traced=None, limit=None, at_least=False,
                 skipped=None, value=None):
        self.name, self.unit, self.limit, self.at_least = name, unit, limit, at_least
        self.untraced, self.traced, self.skipped = untraced, traced, skipped
        if untraced and traced:
            self.values = [t / u for u, t in zip(untraced, traced)]
        else:
            self.values = value if isinstance(value, list) else [] if value is None else [value]

    def median(self):
        return statistics.median(self.values) if self.values else None

    def ok(self):
        if self.limit is None or not self.values:
            return None
        m = self.median()
        return m >= self.limit if self.at_least else m <= self.limit

    def _number(self, x):
        return ("%.3g" if abs(x) < 1000 else "%.0f") % x

    def _side(self, values):
        return "%s %s" % (self._number(statistics.median(values)), self.unit) if values else ""

    def row(self):
        if self.skipped:
            return (self.name, "", "", "not measured", "", "", self.skipped)
        ratio = bool(self.untraced)
        mark = {None: "", True: "ok", False: "OVER" if not self.at_least else "UNDER"}[self.ok()]
        limit = "" if self.limit is None else "%s %s" % (">=" if self.at_least else "<=",
                                                         self._number(self.limit))
        return (self.name, self._side(self.untraced), self._side(self.traced),
                self._number(self.median()) + ("" if ratio else " " + self.unit),
                "%s..%s" % (self._number(min(self.values)), self._number(max(self.values))),
                limit, mark)

    def as_json(self):
        return {"name": self.name, "unit": self.unit, "untraced": self.untraced,
                "traced": self.traced, "values": self.values, "median": self.median(),
                "limit": self.limit, "limit_is": "at_least" if self.at_least else "at_most",
                "ok": self.ok(), "skipped": self.skipped}


class Bench:
    def __init__(self, build, tmp, rounds):
        self.build, self.tmp, self.rounds = build, tmp, rounds
        self.cowtrace = os.path.join(build, "cli", "cowtrace")
        self.trace = os.path.join(tmp, "bench.cowtrace")

    def program(self, name, folder="ground"):
        return os.path.join(self.build, "bench", folder, "bench-" + name)

    def record_argv(self, argv, options=()):
        return [self.cowtrace, "record", "-q", "--engine", "census", *options, "-o", self.trace, "--", *argv]

    def run(self, argv, traced, options=()):
        """What the program prints, as JSON."""
        if traced:
            self.forget_trace()
            argv = self.record_argv(argv, options)
        p = subprocess.run(argv, stdout=subprocess.PIPE, timeout=600)
        if p.returncode:
            raise CannotRun("%s: exit status %d" % (" ".join(argv), p.returncode))
        return json.loads(p.stdout)

    def alternate(self, measure):
        """measure(traced) in turn; ([untraced...], [traced...]), one each round."""
        out = {False: [], True: []}
        for i in range(self.rounds):
            for traced in (False, True) if i % 2 == 0 else (True, False):
                out[traced].append(measure(traced))
        return out[False], out[True]

    def forget_trace(self):
        for path in glob.glob(self.trace + "*"):
            os.unlink(path)

    def query(self, sql):
        db = sqlite3.connect("file:%s?mode=ro" % self.trace, uri=True)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def file_size(self):
        return os.path.getsize(self.trace)


def recorders(cowtrace_pid):
    """Pids of cowtrace's own processes under (and with) the one we started."""
    mine, todo = [], [cowtrace_pid]
    try:
        exe = os.readlink("/proc/%d/exe" % cowtrace_pid)
    except OSError:
        return []
    while todo:
        pid = todo.pop()
        try:
            if os.readlink("/proc/%d/exe" % pid) != exe:
                continue
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                    todo += [int(x) for x in f.read().split()]
        except OSError:
            continue
        mine.append(pid)
    return mine


def status_kib(pid, key):
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def cpu_seconds(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mem_available_mib():
    with open("/proc/meminfo") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    return 0

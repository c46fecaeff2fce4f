# SPDX-License-Identifier: MIT
"""
What the end-to-end tests share: cases as TAP, cowtrace's two commands, the
kernel's own account of a process, and settings that are put back.

The build tells the programs by environment: COWTRACE, FORKLOAD.
"""

import atexit
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import schema

PAGE = 4096
SYSFS_LOCK = "/tmp/cowtrace-sysfs.lock"
THP = "/sys/kernel/mm/transparent_hugepage"


# A time-out of the test runner must not leave a setting or a server behind.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def skip(reason):
    """Ends the test: it cannot run here."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def program(name):
    path = os.environ.get(name)
    if not path:
        sys.exit(f"{name} is not set: run this by meson test")
    if not os.access(path, os.X_OK):
        sys.exit(f"{name}: {path} is not there: build first")
    return path


class Tap:
    """Cases, one line each; details of a failure after it."""

    def __init__(self):
        self.nr, self.failed = 0, 0

    def ok(self, good, name, details=()):
        self.nr += 1
        print(f"{'ok' if good else 'not ok'} {self.nr} - {name}")
        if not good:
            self.failed += 1
            for line in list(details)[:40]:
                print(f"#   {line}")
        sys.stdout.flush()
        return good

    def note(self, text):
        print(f"# {text}")

    def done(self):
        print(f"1..{self.nr}")
        sys.exit(1 if self.failed or not self.nr else 0)


@contextlib.contextmanager
def folder():
    """A folder that everybody may write to, removed at the end."""
    path = tempfile.mkdtemp(prefix="cowtrace-test.")
    os.chmod(path, 0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run_cases(cases, names):
    """Each case of those names, (tap, folder) -> None, in a folder of its own."""
    tap = Tap()
    for name in names:
        with folder() as where:
            cases[name](tap, where)
    tap.done()


def write_file(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def read_file(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


@contextlib.contextmanager
def settled_pages(thp=None):
    """
    Holds the lock of those who make the kernel move pages, and keeps khugepaged
    from doing so: a collapsed page has another frame without any copy-on-write.
    With thp ("always", "never"), sets that too.  Puts everything back.
    """
    wanted = {os.path.join(THP, "khugepaged", "scan_sleep_millisecs"): "3600000"}
    if thp:
        wanted[os.path.join(THP, "enabled")] = thp
    with open(SYSFS_LOCK, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {}
        try:
            for path, value in wanted.items():
                if os.access(path, os.W_OK):
                    text = read_file(path)
                    chosen = re.search(r"\[(\w+)\]", text)
                    before[path] = chosen.group(1) if chosen else text
                    write_file(path, value)
            # The setting wakes khugepaged for a last round.
            time.sleep(0.2)
            yield
        finally:
            for path, value in before.items():
                write_file(path, value)


# Waits for the end of its input, that is of whoever started it, then puts settings back.
KEEPER = """read -r _; while [ $# -gt 0 ]; do printf %s "$2" >"$1"; shift 2; done"""


@contextlib.contextmanager
def kept(*paths):
    """
    Settings that the caller changes: put back at the end, by a process of its own, so
    that it happens however the caller ends.  That one holds the lock until it has.
    """
    with open(SYSFS_LOCK, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values = [word for p in paths for word in (p, read_file(p).strip())]
        with subprocess.Popen(["/bin/sh", "-c", KEEPER, "keeper", *values],
                              stdin=subprocess.PIPE, pass_fds=[lock.fileno()],
                              start_new_session=True) as keeper:
            try:
                yield
            finally:
                keeper.stdin.close()
                keeper.wait(60)


class Recording:
    """One run of `cowtrace record`, its command's output kept apart from its own."""

    def __init__(self, trace, command, options=(), prefix=(), env=None, stdin=None):
        self.trace = trace
        self.args = [*prefix, program("COWTRACE"), "record", "-o", trace, *options, "--", *command]
        self.err_path = trace + ".stderr"
        self.out_path = trace + ".stdout"
        with open(self.err_path, "w", encoding="utf-8") as err, \
                open(self.out_path, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(self.args, stdout=out, stderr=err,
                                            stdin=stdin or subprocess.DEVNULL, env=env,
                                            start_new_session=True)
        atexit.register(self.stop)

    def stop(self):
        """Ends what is left of it, the command included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        atexit.unregister(self.stop)

    def wait(self, timeout=120):
        """The exit status; a recording that hangs is killed and says so."""
        try:
            status = self.process.wait(timeout)
            atexit.unregister(self.stop)
            return status
        except subprocess.TimeoutExpired:
            self.stop()
            raise TimeoutError(f"{' '.join(self.args)}: hung for {timeout} s:\n{self.err()}") \
                from None

    def err(self):
        return read_file(self.err_path)

    def out(self):
        return read_file(self.out_path)


def record(trace, command, **kwargs):
    recording = Recording(trace, command, **kwargs)
    recording.status = recording.wait()
    return recording


def report(trace, *options):
    """The report as JSON; an error of it is an error of the test."""
    done = subprocess.run([program("COWTRACE"), "report", "--format", "json", *options, trace],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"report {trace}: status {done.returncode}: "
                           f"{done.stderr.decode().strip()}")
    return schema.check("report", json.loads(done.stdout))


def private_dirty(pid):
    """
    Bytes that only this process maps, of its private mappings: the kernel's word.
    (The Private_Dirty of smaps_rollup has pages of shared memory too, where this
    process happens to be the only one that touched them.)
    """
    total, private = 0, False
    for line in read_file(f"/proc/{pid}/smaps").splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ (\S{4}) ", line)
        if head:
            private = head.group(1)[3] == "p"
        elif private and line.startswith("Private_Dirty:"):
            total += int(line.split()[1]) * 1024
    return total


def children(pid):
    try:
        return [int(p) for p in read_file(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def comm(pid):
    try:
        return read_file(f"/proc/{pid}/comm").strip()
    except OSError:
        return ""


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(f"{what}: not within {seconds} s")


def alive(pid):
    """Running or stopped; a zombie is not."""
    try:
        return read_file(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def close_enough(a, b, share=0.01, pages=64):
    """Two counts in bytes: equal to one per cent or 64 pages, whichever is more."""
    return abs(a - b) <= max(share * max(a, b), pages * PAGE)


def pages_text(nr_bytes):
    return f"{nr_bytes // PAGE} pages ({nr_bytes / (1 << 20):.1f} MiB)"

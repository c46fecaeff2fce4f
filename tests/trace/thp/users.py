#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A BGSAVE of Redis with huge pages, and a program on jemalloc that purges parts of them:
every split of a huge mapping has a cause and a site, and their sum is what thp_split_pmd
has moved by.  The counter is the machine's: where others split too, it is done again.

usage: users.py redis|jemalloc
"""

import glob
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "lib"),
                os.path.join(HERE, "..", "..", "..", "scripts", "lib")]
import harness
import redis_load

SERVER = "/usr/bin/redis-server"
KEYS = 100_000
WRITES = 5_000
TRIES = 12
# Huge pages for this allocator alone: others would split theirs, and the counter is one.
THP_CONF = "thp:always"


def splits():
    for line in harness.read_file("/proc/vmstat").splitlines():
        if line.startswith("thp_split_pmd "):
            return int(line.split()[1])
    harness.skip("this kernel does not count thp_split_pmd")


def connect(recording, sock):
    if recording.process.poll() is not None:
        raise RuntimeError(f"redis-server did not start: {recording.err()}{recording.out()}")
    try:
        redis = redis_load.Redis(sock)
        return redis if redis.command("PING") == b"PONG" else None
    except (OSError, RuntimeError):
        return None


def bgsave(redis):
    redis.command("CONFIG", "SET", "rdb-key-save-delay", "-20")
    redis.command("BGSAVE")
    redis_load.write(redis, KEYS, WRITES, 1)
    harness.wait_until(lambda: redis.info("persistence")["rdb_bgsave_in_progress"] == "0", 60,
                       "the end of BGSAVE")


def run_redis(where):
    """How often mappings were split during a BGSAVE, and the report."""
    sock = os.path.join(where, "sock")
    command = [SERVER, "--port", "0", "--unixsocket", sock, "--dir", where, "--save", "",
               "--appendonly", "no", "--daemonize", "no", "--disable-thp", "no"]
    recording = harness.Recording(os.path.join(where, "redis.cowtrace"), command,
                                  options=["--engine", "uffd"],
                                  env=dict(os.environ, MALLOC_CONF=THP_CONF))
    redis = harness.wait_until(lambda: connect(recording, sock), 30, "redis-server")
    redis_load.fill(redis, KEYS)
    before = splits()
    bgsave(redis)
    moved = splits() - before
    subprocess.run(["/usr/bin/redis-cli", "-s", sock, "shutdown", "nosave"], check=True,
                   stdout=subprocess.DEVNULL)
    if recording.wait():
        raise RuntimeError(recording.err())
    return moved, harness.report(recording.trace)


def run_jemalloc(where):
    """The same of a program that frees blocks here and there, whose allocator purges them."""
    library = glob.glob("/usr/lib/*/libjemalloc.so.2")
    if not library:
        harness.skip("no jemalloc library: scripts/setup")
    conf = f"{THP_CONF},dirty_decay_ms:0,muzzy_decay_ms:0,background_thread:false"
    trace = os.path.join(where, "purger.cowtrace")
    run = harness.record(trace, ["/usr/bin/env", f"LD_PRELOAD={library[0]}",
                                 f"MALLOC_CONF={conf}", harness.program("PURGER")],
                         options=["--quiet", "--engine", "census"])
    if run.status:
        raise RuntimeError(run.err())
    return int(run.out()), harness.report(trace)


def functions_of(rep, loss):
    for site in rep["sites"]:
        if site["site_id"] == loss["site_id"]:
            return [f["function"] for f in site["frames"]]
    return []


def check(tap, mode, rep, lost):
    causes = {l["cause"] for l in rep["thp_losses"]}
    sites = [(l["cause"], l["site"]) for l in rep["thp_losses"]]
    tap.note(f"{mode}: {lost} huge pages lost, {sites[:3]}")
    if not lost and not any(f["huge_pages_shared"] for f in rep["forks"]):
        harness.skip(f"{mode}: no huge pages to be had (an allocator that is not asked for them?)")
    tap.ok(lost > 0, f"{mode}: huge pages were lost")
    tap.ok(all(l["site"] for l in rep["thp_losses"]), f"{mode}: each has a site", sites)
    if mode == "redis":
        # The child gives back what it need not keep (dismissMemory), in parts of huge pages too.
        tap.ok("write_after_fork" in causes and causes <= {"write_after_fork", "madvise_dontneed"},
               "by writes after the fork", [f"{causes}"])
        return
    wanted = {"madvise_dontneed", "madvise_free"}
    tap.ok(causes and causes <= wanted, "by the allocator's purging", [f"{causes}"])
    # A malloc() of main's may purge too.
    stacks = [functions_of(rep, l) for l in rep["thp_losses"]]
    tap.ok(all("main" in s for s in stacks) and any("free_some" in s for s in stacks),
           "where the program frees", [f"{s}" for s in stacks])


def main():
    mode = sys.argv[1]
    if mode == "redis" and not os.access(SERVER, os.X_OK):
        harness.skip("redis-server is not installed: scripts/setup")
    if os.geteuid() != 0 or not os.path.exists("/dev/userfaultfd"):
        harness.skip("the uffd engine is for root, with /dev/userfaultfd (Linux 6.1)")
    if not os.path.exists(harness.THP):
        harness.skip("this kernel has no transparent huge pages")
    run = {"redis": run_redis, "jemalloc": run_jemalloc}[mode]
    tap = harness.Tap()
    with harness.settled_pages("madvise"):
        for _ in range(TRIES):
            with harness.folder() as where:
                moved, rep = run(where)
            lost = sum(l["events"] for l in rep["thp_losses"])
            if lost >= moved:
                break
            tap.note(f"{mode}: thp_split_pmd moved by {moved}, {lost} are known: once more")
        else:
            before = splits()
            time.sleep(10)
            if splits() != before:
                harness.skip("others on this machine split huge pages all the time")
    tap.ok(lost == moved, f"{mode}: {lost} lost, thp_split_pmd moved by {moved}")
    check(tap, mode, rep, lost)
    tap.done()


if __name__ == "__main__":
    main()

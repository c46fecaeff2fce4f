#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A real redis-server, two BGSAVEs under a seeded load, held against two witnesses:
what Redis itself says of its copy-on-write (rdb_last_cow_size), and the child's
Private_Dirty as this test reads it.

usage: redis_test.py default|thp
"""

import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "..", "scripts", "lib")]
import harness
import redis_load

SERVER = "/usr/bin/redis-server"
BYTES_PER_KEY = 250  # of a key with its value, in Redis
NR_WRITES = 100_000


def nr_keys():
    """A million, or what a quarter of the free memory holds."""
    meminfo = harness.read_file("/proc/meminfo")
    free = int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024
    return min(1_000_000, free // 4 // BYTES_PER_KEY)


def start(where, options):
    sock = os.path.join(where, "sock")
    command = [SERVER, "--port", "0", "--unixsocket", sock, "--dir", where, "--save", "",
               "--appendonly", "no", "--daemonize", "no", *options]
    recording = harness.Recording(os.path.join(where, "redis.cowtrace"), command,
                                  options=["--engine", "census"])

    def connect():
        if recording.process.poll() is not None:
            raise RuntimeError(f"redis-server did not start: {recording.err()}{recording.out()}")
        try:
            redis = redis_load.Redis(sock)
            return redis if redis.command("PING") == b"PONG" else None
        except (OSError, RuntimeError):
            return None

    return recording, harness.wait_until(connect, 30, "redis-server")


def server_pid(redis):
    return int(redis.info("server")["process_id"])


def last_private_dirty(pid):
    """Reads it again and again: the last word before the process has gone."""
    value = None
    while True:
        try:
            value = harness.private_dirty(pid) or value
        except OSError:
            return value
        if not harness.alive(pid):
            return value
        time.sleep(0.002)


def bgsave(redis, keys, seed):
    """One BGSAVE under load.  The child's pid and Private_Dirty, and Redis's word, in bytes."""
    parent = server_pid(redis)
    # The child must outlast the writes, or nobody sees its last Private_Dirty: it
    # sleeps at one key in twenty.
    redis.command("CONFIG", "SET", "rdb-key-save-delay", "-20")
    redis.command("BGSAVE")
    child = harness.wait_until(lambda: harness.children(parent), 10, "the child of BGSAVE")[0]
    redis_load.write(redis, keys, NR_WRITES, seed)
    dirty = last_private_dirty(child)
    if dirty is None:
        raise RuntimeError("the child of BGSAVE ended before the writes did")
    harness.wait_until(lambda: redis.info("persistence")["rdb_bgsave_in_progress"] == "0", 60,
                       "the end of BGSAVE")
    info = redis.info("persistence")
    if info["rdb_last_bgsave_status"] != "ok":
        raise RuntimeError("BGSAVE failed")
    return {"child": child, "dirty": dirty, "redis": int(info["rdb_last_cow_size"])}


def census_of(fork):
    """
    What is the child's alone, by the report (docs/recording.md), at least and at
    most: of what the child dropped it is not said whether it was the parent's still.
    """
    parent, child = fork["parent"], fork["child"]
    most = parent["copied"] + child["copied"] + child["new"] + parent["dropped"]
    return harness.PAGE * (most - child["dropped"]), harness.PAGE * most


def equals(census, witness):
    low, high = census
    return low <= witness <= high or harness.close_enough(low, witness) or \
        harness.close_enough(high, witness)


def check(tap, rep, save):
    forks = [f for f in rep["forks"] if f["child_pid"] == save["child"]]
    name = f"BGSAVE by {save['child']}"
    if not tap.ok(len(forks) == 1, f"{name}: its fork is in the report"):
        return
    fork, census = forks[0], census_of(forks[0])
    tap.note(f"{name}: census {harness.pages_text(census[0])} to "
             f"{harness.pages_text(census[1])}, "
             f"Redis {harness.pages_text(save['redis'])}, "
             f"Private_Dirty {harness.pages_text(save['dirty'])}, {fork['huge_pages_shared']} of "
             f"{fork['pages_shared']} pages shared were huge")
    detail = [f"{side}: {fork[side]}" for side in ("parent", "child")]
    tap.ok(equals(census, save["redis"]), f"{name}: equals rdb_last_cow_size",
           detail)
    tap.ok(equals(census, save["dirty"]), f"{name}: equals Private_Dirty", detail)
    tap.ok(fork["parent"]["unknown"] + fork["child"]["unknown"] <= 64, f"{name}: little unknown",
           detail)
    tap.ok("rdbSaveBackground" in (fork["site"] or "") or "redisFork" in (fork["site"] or ""),
           f"{name}: forked by Redis's own function", [f"site: {fork['site']}"])
    words = [r["private_dirty_bytes"] for r in rep["reconcile"] if r["pid"] == save["child"]]
    tap.ok(words and words[0] and harness.close_enough(words[0], save["dirty"]),
           f"{name}: the report has the kernel's word", [f"{words}"])


def main():
    mode = sys.argv[1]
    if not os.access(SERVER, os.X_OK):
        harness.skip("redis-server is not installed: scripts/setup")
    if os.geteuid() != 0:
        harness.skip("exact counts need page frames: root only")
    tap, keys = harness.Tap(), nr_keys()
    options = ["--disable-thp", "no"] if mode == "thp" else []
    with harness.folder() as where, harness.settled_pages("always"):
        recording, redis = start(where, options)
        redis_load.fill(redis, keys)
        saves = [bgsave(redis, keys, seed) for seed in (1, 2)]
        subprocess.run(["/usr/bin/redis-cli", "-s", os.path.join(where, "sock"), "shutdown",
                        "nosave"], check=True, stdout=subprocess.DEVNULL)
        tap.ok(recording.wait() == 0, "redis-server ended well under record",
               recording.err().splitlines())
        rep = harness.report(recording.trace)
        tap.ok(rep["complete"], "the trace is complete", [rep["why_incomplete"]])
        tap.ok(len(rep["forks"]) == 2, "two forks", [f"{len(rep['forks'])}"])
        for save in saves:
            check(tap, rep, save)
        if mode == "thp":
            tap.ok(all(f["huge_pages_shared"] > 0 for f in rep["forks"]),
                   "with --disable-thp no, huge pages were shared")
        else:
            # What it allocated before it read its settings may be huge.
            tap.ok(all(f["huge_pages_shared"] < f["pages_shared"] / 8 for f in rep["forks"]),
                   "by default Redis switches huge pages off")
    tap.done()


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A recording by somebody who may do next to nothing: what the report says is right by
forkload's own truth, and what cannot be known is said to be unknown.

usage: asuser.py fast | RUNS
The build tells the programs by environment: COWTRACE, FORKLOAD, CONFINE.
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "exact"))
import exact
import harness

# Of nobody in particular: no name, no group of its own, no home but the one we make.
USER = 64321
# What a container has where it was given nothing and had nothing taken away.
CONTAINER_CAPS = ("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid",
                  "setpcap", "net_bind_service", "net_raw", "sys_chroot", "mknod",
                  "audit_write", "setfcap")


# A /dev of our own, with what every container has there.
DEV = """dev=$(mktemp -d) && mount -t tmpfs -o size=1m,mode=755 none "$dev" &&
cp -a /dev/null /dev/zero /dev/urandom "$dev" && mount --move "$dev" /dev && rmdir "$dev" &&
exec "$@\""""


def as_user(*rest):
    return ["/usr/bin/setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all", *rest]


def places():
    """Where it is tried: name, command in front, the engine that can run there."""
    confine = harness.program("CONFINE")
    kept = ",".join("+" + c for c in CONTAINER_CAPS)
    yield "user", as_user(), "perf"
    yield "user, seccomp", as_user(confine), "census"
    yield "user, namespaces", as_user("/usr/bin/unshare", "-Urpf", "--mount-proc"), "perf"
    if os.geteuid() == 0:
        yield "root of a container", \
            ["/usr/bin/unshare", "-mpf", "--mount-proc", "/bin/sh", "-c",
             DEV, "-",
             "/usr/bin/setpriv", f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}",
             confine], "census"


def can_run(prefix):
    """Namespaces may be refused to users, and the build be in a closed folder."""
    return subprocess.run([*prefix, harness.program("COWTRACE"), "--version"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def rows(fork, regions, truth):
    found = exact.rows_of(fork, regions, truth)
    return [row for row, _ in found]


def check_region(fork, regions, truth):
    """Drops are known to the page; copies are no more than what the side has for itself."""
    found = rows(fork, regions, truth)
    where = f"fork {fork['id']} {truth['side']} {truth['region']}"
    dropped, own = (sum(r[c] for r in found) for c in ("dropped", "unknown"))
    if dropped != truth["dropped"]:
        yield f"{where}: dropped {dropped}, and it is {truth['dropped']}"
    if own < truth["copied"]:
        yield f"{where}: at most {own} copied, and it is {truth['copied']}"
    for row in found:
        if row["copied"] is not None or row["new"] is not None:
            yield f"{where}: copied {row['copied']}, new {row['new']}: nobody can know"


def check_side(t, fork, regions, side):
    got = fork[side]
    where = f"fork {fork['id']} {side}"
    if got["copied"] is not None:
        yield f"{where}: copied {got['copied']}, and nobody can know"
    if got["kept"] is None:
        told = [got, *(r for r in fork["regions"] if r["side"] == side)]
        for row in told:
            if any(row[c] is not None for c in ("dropped", "new", "unknown")):
                yield f"{where}: not read, and yet {row}"
        return
    for row in t["regions"]:
        if row["side"] == side:
            yield from check_region(fork, regions, row)
    if got["kept"] + got["unknown"] + got["dropped"] != fork["pages_shared"]:
        yield f"{where}: {got} do not sum up to {fork['pages_shared']}"
    new = sum(r["new"] for r in t["regions"] if r["side"] == side)
    if side == "parent" and got["new"] is not None:
        yield f"{where}: new {got['new']}, and nobody can know"
    if side == "child" and not new <= got["new"] <= new + exact.OTHER_PAGES:
        yield f"{where}: new {got['new']}, and it is {new}"


def check_report(truth, rep, pair):
    regions = {r["id"]: r for r in rep["regions"]}
    if len(rep["forks"]) != len(truth["forks"]):
        yield f"{len(rep['forks'])} forks, and there were {len(truth['forks'])}"
    yield from exact.bounds(truth, rep, pair)
    for t, fork in exact.match_forks(truth, rep):
        if fork is None:
            yield f"fork {t['id']}: not there"
            continue
        for side in ("parent", "child"):
            yield from check_side(t, fork, regions, side)
    if rep["total"]["parent_copied"] is not None or rep["total"]["child_copied"] is not None:
        yield f"total: copies by side: {rep['total']}"
    for g in rep["region_groups"]:
        if g["shared"] and g["copied"] is not None:
            yield f"{g['kind']} {g['name']}: copied {g['copied']}, and nobody can know"
    for row in rep["reconcile"]:
        if row["fork_id"] and (row["copied"] is not None or row["coverage"] is not None):
            yield f"reconcile: {row}"


def check_words(trace, rep, err, engine):
    """What is unknown is said to be, and what would tell it."""
    done = subprocess.run([harness.program("COWTRACE"), "report", trace], check=False,
                          stdout=subprocess.PIPE, timeout=60)
    text = " ".join(done.stdout.decode().split())
    wanted_words = ["page frames are hidden from an ordinary user", "copied at least",
                    "copied at most"]
    if engine == "census":
        wanted_words += ["Who wrote was not watched", "cowtrace doctor"]
    for wanted in wanted_words:
        if wanted not in text:
            yield f"the report does not say \"{wanted}\""
    for unwanted in ("pages copied by the census", "parent copied", "child copied"):
        if unwanted in text:
            yield f"the report says \"{unwanted}\""
    if rep["engine"] != engine or rep["page_frames"]:
        yield f"engine {rep['engine']}, page_frames {rep['page_frames']}"
    if "no_page_frames" not in {n["code"] for n in rep["notes"]}:
        yield "no note no_page_frames"
    first = err.splitlines()[0] if err else ""
    for wanted in (f"cowtrace record: engine {engine}", "in bounds", "it takes",
                   "no call sites" if engine == "census" else "call site"):
        if wanted not in first:
            yield f"record does not say \"{wanted}\": {err}"
    if not rep["engine_why"] or rep["engine_why"] not in first:
        yield f"engine_why {rep['engine_why']}"


def run_once(where, nr, prefix, options, engine):
    """What is wrong with one recording."""
    home = os.path.join(where, f"home-{nr}")
    os.mkdir(home, 0o700)
    if os.geteuid() == 0 and str(USER) in " ".join(prefix):
        os.chown(home, USER, USER)
    trace = os.path.join(home, "t.cowtrace")
    env = dict(os.environ, HOME=home, TMPDIR=home)
    # A tired machine may take its time; the judgement is not about that.
    run = harness.record(trace, [harness.program("FORKLOAD"), "--tag", *options], prefix=prefix,
                         options=["--hold", "30000"], env=env)
    truth = json.loads(run.out() or "null")
    if run.status or not truth:
        return [f"status {run.status}", *run.err().splitlines()]
    if truth["pfn"]:
        return ["forkload sees page frames"]
    rep = harness.report(trace)
    if not rep["complete"]:
        return [f"incomplete: {rep['why_incomplete']}"]
    # Where namespaces renumber, the report has the recorder's numbers, and so has forkload.
    return [*check_report(truth, rep, "--pair" in options), *check_words(trace, rep, run.err(), engine)]


FAST = [["--pair"]]
SLOW = [["--pair", "--huge", "--threads", "2"], ["--threads", "1"],
        ["--threads", "4", "--huge", "--kill"]]


def main():
    tap = harness.Tap()
    fast = sys.argv[1] == "fast"
    if os.geteuid() != 0:
        harness.skip("only root can become another user")
    if not can_run(as_user()):
        harness.skip("others cannot run the build")
    with harness.folder() as where, harness.settled_pages():
        for name, prefix, engine in places():
            if not can_run(prefix):
                tap.note(f"{name}: not permitted here")
                continue
            for options in FAST if fast else SLOW:
                for nr in range(1 if fast else int(sys.argv[1])):
                    wrong = run_once(where, tap.nr, prefix, options, engine)
                    tap.ok(not wrong, f"{name} {' '.join(options)} run {nr + 1}", wrong)
    tap.done()


if __name__ == "__main__":
    main()

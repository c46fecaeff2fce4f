#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
PostgreSQL under `record --user`.

census: three hundred short backends by pgbench.  Every backend is there, forked from
one place, and its private memory is what the kernel says.

uffd: backends that stay, and work.  Of the pages that the kernel copied for them the
call site is known, and of the rest why not.

usage: postgres_test.py census|uffd
"""

import collections
import glob
import os
import pwd
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness

USER = "postgres"
NR_CLIENTS, NR_EACH = 4, 75
NR_BACKENDS = NR_CLIENTS * NR_EACH
# Of the copied pages of anonymous memory, with backends that stay.
KNOWN_SHARE = 0.95


def bin_dir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    if not found:
        harness.skip("PostgreSQL is not installed: scripts/setup")
    return os.path.dirname(found[-1])


def as_user(*command):
    return ["/usr/bin/setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *command]


def run(*command):
    done = subprocess.run(as_user(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.decode()}")
    return done.stdout.decode()


class Session:
    """One backend that stays: psql, spoken to through pipes."""

    def __init__(self, where):
        self.psql = subprocess.Popen(
            as_user("/usr/bin/psql", "-X", "-q", "-A", "-t", "-h", where, "postgres"), cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self.ask("select pg_backend_pid()"))

    def ask(self, query):
        self.psql.stdin.write(query + ";\n")
        self.psql.stdin.flush()
        return self.psql.stdout.readline().strip()

    def close(self):
        self.psql.stdin.close()
        self.psql.wait(10)


def start(bins, where, engine):
    data = os.path.join(where, "data")
    run(os.path.join(bins, "initdb"), "-D", data, "-A", "trust", "--no-sync")
    command = [os.path.join(bins, "postgres"), "-D", data, "-k", where, "-c",
               "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off"]
    recording = harness.Recording(os.path.join(where, "postgres.cowtrace"), command,
                                  options=["--engine", engine, "--user", USER])

    def ready():
        if recording.process.poll() is not None:
            raise RuntimeError(f"postgres did not start: {recording.err()}{recording.out()}")
        return subprocess.run(["/usr/bin/pg_isready", "-q", "-h", where], check=False,
                              timeout=10).returncode == 0

    harness.wait_until(ready, 30, "postgres")
    postmaster = int(harness.read_file(os.path.join(data, "postmaster.pid")).split()[0])
    return recording, postmaster


def check_backends(tap, rep, postmaster):
    forks = [f for f in rep["forks"] if f["parent_pid"] == postmaster]
    sites = collections.Counter(f["site"] for f in forks)
    tap.ok(len(forks) >= NR_BACKENDS, f"{len(forks)} forks of the postmaster")
    site, nr = sites.most_common(1)[0]
    tap.ok(nr >= NR_BACKENDS, "the backends have one fork site", [str(sites)])
    tap.ok("BackendStartup" in (site or "") or "fork_process" in (site or ""),
           "and it is Postgres's own", [str(site)])
    unknown = sum((f["child"]["copied"] is None) for f in forks)
    tap.ok(not unknown, "every backend was read at its end",
           [f"{unknown} were not", *[str(f) for f in forks if f["child"]["copied"] is None][:3]])


def check_witness(tap, trace, session):
    """
    A backend while it is idle, by the trace as it grows.  Not at its end: there
    libraries clean up, and copy a hundred pages in the last millisecond.
    """
    dirty = harness.private_dirty(session.pid)

    def looked():
        rep = harness.report(trace)
        forks = [f for f in rep["forks"] if f["child_pid"] == session.pid]
        return forks and forks[0]["child"]["copied"] and forks[0]["child"]

    child = harness.wait_until(looked, 20, "a reading of the idle backend")
    own = harness.PAGE * (child["copied"] + child["new"])
    tap.note(f"idle backend: census {harness.pages_text(own)}, "
             f"Private_Dirty {harness.pages_text(dirty)}")
    tap.ok(harness.close_enough(own, dirty), "an idle backend's own memory equals Private_Dirty",
           [str(child)])


def check_reconcile(tap, rep):
    """The report's own account: the census against the kernel's word, at each end."""
    by_fork = {f["id"]: f for f in rep["forks"]}
    off = []
    for row in rep["reconcile"]:
        fork = by_fork.get(row["fork_id"])
        if not fork or fork["child_pid"] != row["pid"] or row["private_dirty_bytes"] is None:
            continue
        own = harness.PAGE * (fork["child"]["copied"] + fork["child"]["new"])
        if not harness.close_enough(own, row["private_dirty_bytes"]) and not row["why"]:
            off.append(f"pid {row['pid']}: census {own}, kernel {row['private_dirty_bytes']}")
    tap.ok(not off, "every process reconciles, or says why not", off)


def check_sites(tap, rep):
    """The account of each side, and how many of the copies have a call site."""
    copied, known, why, wrong = 0, 0, collections.Counter(), []
    for row in rep["reconcile"]:
        if row["fork_id"] is None or row["copied"] is None:
            continue
        if row["copied"] != row["attributed"] + sum(row["unattributed"].values()):
            wrong.append(f"fork {row['fork_id']} {row['side']}: {row}")
        copied += row["copied"]
        known += row["attributed"]
        why.update(row["unattributed"])
    tap.ok(not wrong, "copied = attributed + unattributed, in every fork", wrong)
    tap.note(f"{known} of {copied} copies have a call site; the others: {dict(why)}")
    # Initialised data of Postgres and its libraries: a userfaultfd takes none of it.
    anon = copied - why["file_private"]
    tap.ok(anon >= 1000, f"{anon} copied pages of anonymous memory")
    tap.ok(known >= KNOWN_SHARE * anon,
           f"a call site for {100 * known / max(1, anon):.1f} % of them", [str(dict(why))])


def censused(tap, bins, where):
    recording, postmaster = start(bins, where, "census")
    run(os.path.join(bins, "pgbench"), "-h", where, "-i", "-q", "-s", "1", "postgres")
    out = run(os.path.join(bins, "pgbench"), "-h", where, "-n", "-S", "-C", "-c",
              str(NR_CLIENTS), "-t", str(NR_EACH), "postgres")
    tap.ok(f"{NR_BACKENDS}/{NR_BACKENDS}" in out, "pgbench did all its transactions", [out])
    session = Session(where)
    session.ask("select sum(hashtext(i::text)) from generate_series(1, 100000) i")
    check_witness(tap, recording.trace, session)
    session.close()
    rep = stop(tap, recording, postmaster)
    check_backends(tap, rep, postmaster)
    check_reconcile(tap, rep)


def watched(tap, bins, where):
    recording, postmaster = start(bins, where, "uffd")
    run(os.path.join(bins, "pgbench"), "-h", where, "-i", "-q", "-s", "1", "postgres")
    out = run(os.path.join(bins, "pgbench"), "-h", where, "-n", "-c", str(NR_CLIENTS), "-t",
              "500", "postgres")
    tap.ok(f"{NR_CLIENTS * 500}/{NR_CLIENTS * 500}" in out, "pgbench did all its transactions",
           [out])
    rep = stop(tap, recording, postmaster)
    check_sites(tap, rep)


def stop(tap, recording, postmaster):
    """The report of all of it, when Postgres has ended."""
    uid = os.stat(f"/proc/{postmaster}").st_uid
    tap.ok(uid == pwd.getpwnam(USER).pw_uid, "postgres ran as its own user", [str(uid)])
    harness.kill(postmaster, 2)
    tap.ok(recording.wait() == 0, "postgres ended well under record",
           recording.err().splitlines())
    rep = harness.report(recording.trace)
    tap.ok(rep["complete"], "the trace is complete", [rep["why_incomplete"]])
    return rep


def main():
    bins = bin_dir()
    if os.geteuid() != 0:
        harness.skip("needs root, to become the user postgres")
    pwd.getpwnam(USER)
    tap = harness.Tap()
    with harness.folder() as where, harness.settled_pages():
        (watched if sys.argv[1:] == ["uffd"] else censused)(tap, bins, where)
        if os.environ.get("KEEP"):
            os.system(f"cp {where}/postgres.cowtrace {os.environ['KEEP']}/")
    tap.done()


if __name__ == "__main__":
    main()

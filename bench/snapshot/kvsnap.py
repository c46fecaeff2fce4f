#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Writers' throughput of examples/kvsnap while it dumps: by fork, and by snapshot, in
turns, in one run, under the same redis-benchmark.  Each dump is slowed down so that it
lasts as long as the load does.

usage: kvsnap.py KVSNAP [ROUNDS]
"""

import re
import socket
import statistics
import subprocess
import sys
import tempfile

MIB = 512
KEYS = 400000
REQUESTS = 200000
RATE = 150  # MiB/s: a dump takes 3.4 s


def ask(port, *args):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        out = b"*%d\r\n" % len(args)
        for a in args:
            a = str(a).encode()
            out += b"$%d\r\n%s\r\n" % (len(a), a)
        sock.sendall(out)
        return sock.recv(65536).decode()


def info(port):
    return dict(re.findall(r"(\w+):([0-9.]+)", ask(port, "INFO")))


def load(port, requests):
    """Requests a second of random SETs of 400 bytes."""
    out = subprocess.run(["redis-benchmark", "-p", str(port), "-t", "set", "-d", "400", "-r",
                          str(KEYS), "-n", str(requests), "-c", "8", "-P", "4", "--csv"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(out.stdout.decode().strip().split("\n")[-1].split(",")[1].strip('"'))


def cpu_us(pid):
    """Processor time of the thread that serves."""
    with open("/proc/%d/task/%d/schedstat" % (pid, pid)) as f:
        return int(f.read().split()[0]) / 1000


def one(server, port, how, path):
    assert "+Background" in ask(port, "BGSAVE", path, how, RATE)
    began = cpu_us(server.pid)
    rate = load(port, REQUESTS)
    cpu = (cpu_us(server.pid) - began) / REQUESTS
    during = info(port)["dumping"] == "1"
    while info(port)["dumping"] == "1":
        load(port, 2000)
    last = info(port)
    assert last["last_ok"] == "1"
    return rate, float(last["last_pause_us"]), during, cpu


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for way in ("thread", "signal"):
        server = subprocess.Popen([sys.argv[1], "0", str(MIB), way], stdout=subprocess.PIPE)
        port = int(server.stdout.readline().split()[-1])
        results = {"fork": [], "snapshot": []}
        ratios = []
        try:
            load(port, KEYS * 3)
            # The first of each is not counted: it protects the whole heap.
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                for i in range(rounds + 1):
                    for how in results:
                        results[how].append(one(server, port, how, folder + "/dump"))
                    if i:
                        ratios.append(results["snapshot"][-1][0] / results["fork"][-1][0])
        finally:
            server.kill()
            server.wait()
        for how, values in results.items():
            print("%s, %s: %.0f requests/s, %.2f us of processor each, pause %.0f us, %s" % (
                way, how, statistics.median(v[0] for v in values[1:]),
                statistics.median(v[3] for v in values[1:]),
                statistics.median(v[1] for v in values[1:]),
                "dumping all the time" if all(v[2] for v in values) else "the dump ended early"))
        print("%s: snapshot / fork: %.3f (%.3f to %.3f), bar >= 1" % (
            way, statistics.median(ratios), min(ratios), max(ratios)))


if __name__ == "__main__":
    main()

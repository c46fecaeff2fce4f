#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
examples/kvsnap: a dump by snapshot, or by fork, of a store that is written to all the
time equals the dump of the same instant with the world stopped, byte for byte.

usage: kvsnap_test.py KVSNAP [ROUNDS]
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading

KEYS = 20000


def encode(*args):
    out = [b"*%d\r\n" % len(args)]
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(a), a))
    return b"".join(out)


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.file = self.sock.makefile("rb")

    def answer(self):
        line = self.file.readline()
        if line[:1] == b"$":
            length = int(line[1:])
            return None if length < 0 else self.file.read(length + 2)[:-2]
        return line.strip()

    def ask(self, *commands):
        """All in one packet: the server runs them one after the other."""
        self.sock.sendall(b"".join(encode(*c) for c in commands))
        return [self.answer() for _ in commands]


def info(client):
    text = client.ask(("INFO",))[0].decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if line)


def write_for_ever(port, stop, seed):
    rnd = random.Random(seed)
    client = Client(port)
    while not stop.is_set():
        client.ask(*[("SET", "key:%d" % rnd.randrange(KEYS), rnd.randbytes(rnd.randrange(300)))
                     for _ in range(50)])


def wait_for_dump(client):
    while True:
        now = info(client)
        if now["dumping"] == "0":
            assert now["last_ok"] == "1", now
            return now


def same(a, b):
    return subprocess.run(["cmp", a, b]).returncode == 0


def run(program, way, rounds, folder):
    server = subprocess.Popen([program, "0", "32", way], stdout=subprocess.PIPE)
    stop = threading.Event()
    writers = []
    try:
        port = int(server.stdout.readline().split()[-1])
        client = Client(port)
        client.ask(*[("SET", "key:%d" % i, "value %d" % i) for i in range(KEYS)])
        assert client.ask(("DBSIZE",)) == [b":%d" % KEYS]
        assert client.ask(("GET", "key:77"), ("GET", "none")) == [b"value 77", None]
        writers = [threading.Thread(target=write_for_ever, args=(port, stop, i)) for i in range(2)]
        for w in writers:
            w.start()
        a, b = os.path.join(folder, "stopped"), os.path.join(folder, "running")
        for i in range(rounds):
            how = ("snapshot", "fork")[i % 2]
            answers = client.ask(("SAVE", a), ("BGSAVE", b, how, 200))
            assert answers == [b"+OK", b"+Background saving started"], answers
            after = wait_for_dump(client)
            assert same(a, b), "%s, %s: the dumps differ" % (way, how)
        print("%s: %d dumps equal; %s" % (way, rounds, after))
        assert int(after["saved_pages"]) > 0, "nothing was written during the dumps"
        assert int(after["saved_bytes"]) == 0, "saved pages are left"
    finally:
        stop.set()
        for w in writers:
            w.join()
        server.kill()
        server.wait()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    with tempfile.TemporaryDirectory() as folder:
        for way in ("thread", "signal"):
            run(sys.argv[1], way, rounds, folder)


if __name__ == "__main__":
    main()

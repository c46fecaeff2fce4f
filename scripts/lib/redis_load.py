#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A load for redis-server that is the same in every run.

usage: redis_load.py SOCKET fill KEYS          keys 0..KEYS-1, one SET each
       redis_load.py SOCKET write KEYS N SEED  N SETs of random keys below KEYS

Values are 100 bytes; commands go in pipelines of 500.
"""

import random
import socket
import sys

BATCH = 500
VALUE = 100


class Redis:
    """As little of the protocol as a load needs: simple replies only."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.replies = self.sock.makefile("rb")

    def pipeline(self, commands):
        out = []
        for command in commands:
            out.append(b"*%d\r\n" % len(command))
            out.extend(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
        self.sock.sendall(b"".join(out))
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis-server closed the connection")
        if line[:1] == b"-":
            raise RuntimeError(line[1:].decode().strip())
        if line[:1] == b"$":
            return self.replies.read(int(line[1:]) + 2)[:-2] if line[1:2] != b"-" else None
        return line[1:-2]

    def command(self, *words):
        return self.pipeline([[w if isinstance(w, bytes) else str(w).encode() for w in words]])[0]

    def info(self, section):
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def sets(keys, value):
    return [[b"SET", b"key:%012d" % key, value] for key in keys]


def fill(redis, nr_keys):
    for first in range(0, nr_keys, BATCH):
        keys = range(first, min(first + BATCH, nr_keys))
        redis.pipeline(sets(keys, b"v" * VALUE))


def write(redis, nr_keys, nr_writes, seed):
    rng = random.Random(seed)
    for first in range(0, nr_writes, BATCH):
        keys = [rng.randrange(nr_keys) for _ in range(min(BATCH, nr_writes - first))]
        redis.pipeline(sets(keys, b"%0*d" % (VALUE, first)))


def main(argv):
    if len(argv) == 4 and argv[2] == "fill":
        fill(Redis(argv[1]), int(argv[3]))
    elif len(argv) == 6 and argv[2] == "write":
        write(Redis(argv[1]), *map(int, argv[3:]))
    else:
        sys.exit(__doc__.strip())


if __name__ == "__main__":
    main(sys.argv)

# SPDX-License-Identifier: MIT
"""
A prefork server in the manner of gunicorn --preload: loads its data, forks
workers that accept on one socket, and serves lookups over HTTP.

usage: prefork_server.py WORKERS ENTRIES [freeze]

Prints the port.  SIGTERM ends the workers by os._exit, so that what they own at
the end is what they owned when they served.
"""

import gc
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

DATA = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/collect":
            body = f"{gc.collect()}".encode()
        else:
            entry = DATA[int(self.path[1:]) % len(DATA)]
            body = f"{entry['name']} {entry['tags'][0]} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def worker(listener):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = HTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    while True:
        server.handle_request()


def main():
    nr_workers, nr_entries = int(sys.argv[1]), int(sys.argv[2])
    DATA.extend({"name": f"entry {i}", "tags": [f"tag {i % 97}", str(i)], "n": i}
                for i in range(nr_entries))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    if "freeze" in sys.argv[3:]:
        gc.collect()
        gc.freeze()
    workers = []
    for _ in range(nr_workers):
        pid = os.fork()
        if not pid:
            worker(listener)
        workers.append(pid)
    print(listener.getsockname()[1], flush=True)

    def stop(*_):
        for pid in workers:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for pid in workers:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()

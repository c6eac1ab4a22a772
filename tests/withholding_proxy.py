"""A proxy before DynamoDB that keeps change records from whoever reads the change stream."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit


class Meddler:
    """What becomes of each page of change records."""

    def __init__(self, seed: int, withheld: float) -> None:
        """``withheld``: how many records never come, as a share."""
        self._random = random.Random(seed)
        self._share = withheld
        self._lock = Lock()
        self.withheld = 0
        self.passed = 0

    def change(self, records: list[Any]) -> list[Any]:
        """Some are left out, some come twice, and they come in any order but for the last, by which
        the reader says where it is.
        """
        with self._lock:
            luck = self._random
            kept = [record for record in records if luck.random() >= self._share]
            self.withheld += len(records) - len(kept)
            self.passed += len(kept)
            kept += [record for record in kept if luck.random() < 0.2]
            luck.shuffle(kept)
            kept.sort(key=lambda record: record is records[-1])
            return kept


@contextmanager
def running(endpoint: str, meddler: Meddler) -> Iterator[str]:
    """The proxy before an endpoint: its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint, meddler))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(endpoint: str, meddler: Meddler) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(address)
            try:
                connection.request("POST", "/", body, dict(self.headers.items()))
                reply = connection.getresponse()
                answer = reply.read()
                status, kind = reply.status, reply.headers["Content-Type"]
            finally:
                connection.close()
            if status == 200 and self.headers["X-Amz-Target"].endswith(".GetRecords"):
                page = json.loads(answer)
                page["Records"] = meddler.change(page["Records"])
                answer = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler

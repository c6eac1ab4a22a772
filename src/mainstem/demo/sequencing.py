"""The worker that a store with stream sequencing needs beside the writers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def sequenced(url: str) -> Iterator[None]:
    """Have the log written while the block runs, where the URL's appends leave that to a worker."""
    if not _leaves_it_to_workers(url):
        yield
        return
    from mainstem.dynamodb.changes.running import sequence
    from mainstem.dynamodb.changes.worker import Rhythm

    stop = threading.Event()
    # Settled every second: the list of streams, which the demo compares the log with, is of the cursors.
    rhythm = Rhythm(settle_seconds=1.0)
    with ThreadPoolExecutor(1, "demo-sequence") as thread:
        running = thread.submit(sequence, url, stop=stop, rhythm=rhythm)
        try:
            yield
        finally:
            stop.set()
    running.result()


def _leaves_it_to_workers(url: str) -> bool:
    if not url.startswith("dynamodb:"):
        return False
    from mainstem.dynamodb.open import parse

    return parse(url).sequencing == "stream"

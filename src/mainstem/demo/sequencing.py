"""The worker that a store with stream sequencing needs beside the writers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from mainstem.registry import scheme_of
from mainstem.schemes import Sequenced


@contextmanager
def sequenced(url: str) -> Iterator[None]:
    """Have the log written while the block runs, where the URL's appends leave that to a worker."""
    scheme = scheme_of(url)
    worker = scheme.worker(url) if isinstance(scheme, Sequenced) else None
    if worker is None:
        yield
        return
    stop = threading.Event()
    with ThreadPoolExecutor(1, "demo-sequence") as thread:
        running = thread.submit(worker, stop)
        try:
            yield
        finally:
            stop.set()
    running.result()

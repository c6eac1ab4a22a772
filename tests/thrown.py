"""Exceptions that are thrown into threads at random moments: some arrive where nobody can catch them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def thrown(kind: type[BaseException]) -> Iterator[None]:
    """Those of that kind may end a finaliser, a hook or a thread; whatever else does is raised behind.

    Without it pytest makes a failure of each, and its own hooks, being Python, are interrupted too.
    """
    seen: deque[Any] = deque()
    hooks = sys.unraisablehook, threading.excepthook
    # A method that is no Python can't be interrupted.
    sys.unraisablehook = threading.excepthook = seen.append
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = hooks
    strangers = [each.exc_value for each in seen if not issubclass(each.exc_type, kind)]
    assert not strangers, strangers

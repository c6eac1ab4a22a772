"""From an older format of the file to the next one: a step for each.

There is only one format yet, so there are no steps. If you raise `schema.FORMAT_VERSION`, add the step from
the format before, and a file of that format to the tests.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Step: TypeAlias = Callable[[sqlite3.Connection], None]
"""Changes the tables, and what is in them, to the next format.

It runs inside a transaction, which it does not end, on a file that nobody else has open. What it says in SQL
stands in the step itself: the modules that know the newest format change, and a step must not.
"""

STEPS: Final[Mapping[int, Step]] = {}
"""By the format that each leads from."""

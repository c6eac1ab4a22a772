"""The first seed that sees each mutant: `make mutants` notes it, and the tests try it before any other.

A note that is out of date costs time, and nothing else: then the tests try one seed after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_suffix(".json")


def seen_by() -> dict[str, int]:
    """Seeds by the names of mutants."""
    noted: dict[str, int] = json.loads(_FILE.read_text())
    return noted


def note_seen_by(seeds: Mapping[str, int]) -> None:
    _FILE.write_text(json.dumps(seeds, indent=1) + "\n")

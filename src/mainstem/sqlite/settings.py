"""What a ``sqlite:`` URL says: where the file is, and how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["ro", "rw", "rwc"]
Synchronous = Literal["FULL", "NORMAL"]


@dataclass(frozen=True, slots=True)
class Settings:
    """``path=None`` is a database in memory."""

    path: Path | None
    mode: Mode = "rwc"
    synchronous: Synchronous = "FULL"
    timeout: float = 30.0
    """Seconds to wait for others' locks before `StoreBusy`."""

    @property
    def place(self) -> str:
        """What error messages call it."""
        return ":memory:" if self.path is None else str(self.path)

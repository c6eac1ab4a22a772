"""The adapter in `examples/`, installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "mainstem-journal"


def install(folder: Path) -> None:
    """With its entry points, as pip does it. Needs no network: what it is built with is installed."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    plain = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, *plain, "--target", str(folder), str(EXAMPLE)], check=True)

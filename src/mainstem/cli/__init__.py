"""The command line, ``mainstem``. It needs the ``cli`` extra; the library does not."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from mainstem.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if missing.name not in ("click", "rich"):
            raise
        sys.stderr.write("mainstem: the command line needs more: pip install 'mainstem[cli]'\n")
        sys.exit(2)
    sys.exit(run())

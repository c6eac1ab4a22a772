"""The adapter in `examples/` is installed as a package of its own, and passes its own tests: the contract
of every store, and the command line on its URLs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from example_help import EXAMPLE


@pytest.mark.timeout(900)
@pytest.mark.parametrize("tests", ["TestBlocking", "TestAsync", "test_journal"])
def test_the_example_passes_its_tests(example: Path, tests: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests, "tests"],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": str(example)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout

"""Run the core's tests on every Python that pyproject.toml declares, but the one that runs this script.

    python scripts/pythons.py             each that is on this machine
    python scripts/pythons.py --required  and fail where one is not

All tests run on the Python of this script, by ``make test``. The others are looked for by their names
on the path, among pyenv's versions and where Debian puts them; none is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")
# What a Python of that version prints that can make a virtual environment.
_ASK = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def declared() -> list[str]:
    """The versions that the package says it runs on: ``3.11`` and so on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = (_CLASSIFIER.fullmatch(line) for line in project["classifiers"])
    return [match[1] for match in found if match]


def candidates(version: str) -> Iterator[Path]:
    """Where an interpreter of the version may be."""
    name = f"python{version}"
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield Path(folder, name)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted((pyenv / "versions").glob(f"{version}.*/bin/{name}"))
    yield Path("/usr/bin", name)


def answers(python: Path, version: str) -> bool:
    """Whether it is one: pyenv's names on the path answer only for the version that is chosen."""
    if not os.access(python, os.X_OK):
        return False
    asked = subprocess.run(
        [python, "-c", _ASK], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return asked.returncode == 0 and asked.stdout.strip() == version


def find(version: str) -> Path | None:
    """The first interpreter of the version that can make a virtual environment."""
    return next((path for path in candidates(version) if answers(path, version)), None)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # before what another process writes


def test_core(python: Path) -> bool:
    """Run the core's tests on it, in an environment of its own; whether they passed."""
    command = ["make", "--no-print-directory", "test-core", f"PYTHON={python}"]
    return subprocess.run(command, cwd=ROOT).returncode == 0


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--required"]):
        sys.exit(__doc__)
    results, passed, complete = [], True, True
    for version in declared():
        if version == "{}.{}".format(*sys.version_info):
            results.append(f"Python {version}: make test runs all tests on it")
        elif python := find(version):
            say(f"The core's tests on Python {version} ({python}):")
            well = test_core(python)
            passed = passed and well
            results.append(f"Python {version}: {'passed' if well else 'FAILED'}")
        else:
            complete = False
            results.append(
                f"Python {version}: NOT TESTED, for there is none here. It is declared: "
                "install it, or take its classifier out of pyproject.toml"
            )
    say("\n".join(results))
    return 0 if passed and (complete or not arguments) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

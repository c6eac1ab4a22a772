"""The shell sessions of the documentation: each ``console`` block's commands print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if BLOCK.search(page.read_text())]


@pytest.mark.usefixtures("dynamodb_of_page")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    """``...`` in the page stands for anything; an exit code other than 0 is shown in brackets."""
    for block in BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            printed = run(command, tmp_path)
            pattern = ".*".join(map(re.escape, expected.split("...")))
            assert re.fullmatch(pattern, printed), f"{command}\n{printed}"


def run(command: str, folder: Path) -> str:
    """What a command prints, errors last, and its exit code where it is not 0."""
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir()
        (tools / "mainstem").write_text(f'#!/bin/sh\nexec {sys.executable} -m mainstem "$@"\n')
        (tools / "mainstem").chmod(0o755)
    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    code = f"[exit code {ran.returncode}]\n" if ran.returncode else ""
    return ran.stdout + ran.stderr + code


def test_there_are_sessions_to_run() -> None:
    assert PAGES

"""Make the blocking store from the asynchronous one, which is written by hand.

    python scripts/make_blocking.py          write src/mainstem/blocking/
    python scripts/make_blocking.py --check  say whether what is there is what would be written

``async`` and ``await`` go, and names are exchanged, in docstrings as well. What truly differs (waking,
iterating, reading ahead) stands by hand in modules of the same name in both folders.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "mainstem" / "aio"
MADE = ("store.py", "subscription.py")

NAMES = {
    "AsyncDriver": "Driver",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "AsyncReadAhead": "ReadAhead",
    "AsyncStore": "Store",
    "AsyncSubscription": "Subscription",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aio": "blocking",
    "connect_async": "connect",
    "over_async": "over",
}
_NAME = re.compile(r"\b(" + "|".join(NAMES) + r")\b")

CLASSES = {
    "Store": '''"""Streams of events, and one log of all of them per partition. Safe to share between threads.

    A context manager: leaving it closes the store. Every argument is checked before anything is
    written; `mainstem.errors` has the whole tree of what can be raised.
    """''',
}
"""Docstrings of classes that have to say something else."""


def blocking(name: str, text: str) -> str:
    """The blocking twin of a module's text, not formatted yet."""
    skipped_blank = False
    lines = text.splitlines(keepends=True)
    end = (1, 0)
    out = []
    for token, string, start, stop, _ in tokenize.generate_tokens(io.StringIO(text).readline):
        if token in (tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue  # the blanks before the next token are the same
        if token == tokenize.NAME and string in ("async", "await"):
            out.append(_between(lines, end, start))
            end, skipped_blank = stop, True
            continue
        gap = _between(lines, end, start)
        out.append(gap.lstrip(" ") if skipped_blank else gap)
        skipped_blank = False
        if token in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT):
            string = _NAME.sub(lambda found: NAMES[found[1]], string)
        out.append(string)
        end = stop
    made = "".join(out)
    for kind, docstring in CLASSES.items():
        of_class = re.compile(rf'(?s)(^class {kind}\b[^\n]*:\n    )""".*?"""', re.MULTILINE)
        made = of_class.sub(rf"\g<1>{docstring}", made)
    docstring, _, rest = made.partition('"""\n')
    return (
        f'{docstring}\n\nMade from aio/{name} by scripts/make_blocking.py: edit that one.\n"""\n{rest}'
        if docstring.startswith('"""')
        else made
    )


def _between(lines: list[str], start: tuple[int, int], stop: tuple[int, int]) -> str:
    """The text from one place to another: blanks and the ends of lines."""
    if start[0] == stop[0]:
        return lines[start[0] - 1][start[1] : stop[1]] if start[0] <= len(lines) else ""
    first = lines[start[0] - 1][start[1] :]
    middle = lines[start[0] : stop[0] - 1]
    last = lines[stop[0] - 1][: stop[1]] if stop[0] <= len(lines) else ""
    return first + "".join(middle) + last


def formatted(text: str) -> str:
    """As `make format` leaves it."""
    mend = ["check", "--fix", "--exit-zero", "--quiet"]
    yield_from = ["--select", "UP028", "--unsafe-fixes"]
    for command in ([*mend, *yield_from], mend, ["format", "--quiet"]):
        text = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command,
                "--stdin-filename",
                "src/mainstem/made.py",
                "-",
            ],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def main() -> int:
    differ = []
    for name in MADE:
        target = SOURCE.parent / "blocking" / name
        made = formatted(blocking(name, (SOURCE / name).read_text()))
        if target.read_text() != made:
            differ.append(target)
            if "--check" not in sys.argv:
                target.write_text(made)
    if differ and "--check" in sys.argv:
        for each in differ:
            sys.stderr.write(
                f"{each} is not what src/mainstem/aio/{each.name} gives: make format\n"
            )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From a ``sqlite:`` URL to an open store."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from mainstem import port
from mainstem.errors import InvalidInput
from mainstem.port import Driver
from mainstem.schemes import Opened
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.drivers import AsyncDriver, BlockingDriver
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.settings import Mode, Settings, Synchronous
from mainstem.text.printable import printable, quoted

_LONGEST_PATH: Final = 4096


def open_blocking(url: str, *, create: bool = True, client: Any = None) -> Opened[Driver]:
    """Open the file and check it; make it where the URL's mode allows."""
    settings = _settings(url, create, client)
    driver = BlockingDriver(Engine(settings))
    return Opened(SqliteAdapter(url), driver, "sqlite", _name(settings))


def open_async(url: str, *, create: bool = True, client: Any = None) -> Opened[port.AsyncDriver]:
    """As `open_blocking`."""
    settings = _settings(url, create, client)
    driver = AsyncDriver(Engine(settings))
    return Opened(SqliteAdapter(url), driver, "sqlite", _name(settings))


def _settings(url: str, create: bool, client: Any) -> Settings:
    if client is not None:
        raise InvalidInput("A SQLite store has no use for a client. Leave it out.")
    return parse(url, create=create)


def parse(url: str, *, create: bool = True) -> Settings:
    """The settings that a URL means. Raises `InvalidInput` with what is wrong with it."""
    try:
        parts = urlsplit(url, allow_fragments=False)  # "#" may stand in a file name
    except ValueError as error:
        raise InvalidInput(
            f"{quoted(url, 200)}: {printable(str(error)[:200])}. A SQLite URL is sqlite:/// "
            "and the path of the file, such as sqlite:///shop.db or sqlite:////var/lib/shop.db."
        ) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    settings = Settings(
        _path(url, parts.netloc, unquote(parts.path)),
        cast("Mode", _choice(options, "mode", ("rwc", "rw", "ro"))),
        cast("Synchronous", _choice(options, "synchronous", ("FULL", "NORMAL"))),
        _seconds(options, "timeout", 30.0),
    )
    if options:
        raise InvalidInput(
            f"{quoted(url, 200)}: unknown option {quoted(min(options))}. Known are mode, "
            "synchronous and timeout."
        )
    if not create and settings.path is not None and settings.mode == "rwc":
        settings = replace(settings, mode="rw")
    if settings.path is None and settings.mode != "rwc":
        raise InvalidInput(
            f"{quoted(url, 200)}: a store in memory always begins empty, so it has no mode."
        )
    return settings


def _name(settings: Settings) -> str:
    # The file's name, not where it is: folders may be named for users.
    return "memory" if settings.path is None else settings.path.stem


def _path(url: str, host: str, path: str) -> Path | None:
    if (host, path) in ((":memory:", ""), ("", "/:memory:")):
        return None
    if host or not url.startswith("sqlite://"):
        raise InvalidInput(
            f"{quoted(url, 200)}: a SQLite URL has three slashes before a relative path "
            "(sqlite:///shop.db) and four before an absolute one (sqlite:////var/lib/shop.db)."
        )
    if len(path) > _LONGEST_PATH:
        raise InvalidInput(f"{quoted(url, 200)}: no path of a file is that long.")
    if len(path) < 2 or path.endswith("/") or "\0" in path:
        raise InvalidInput(
            f"{quoted(url, 200)} names no file. For a store in memory use sqlite://:memory:"
        )
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{quoted(url, 200)} has a character that no file name can have."
        ) from None
    return Path(path[1:]).absolute()  # the working directory may change before the next connection


def _choice(options: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = options.pop(name, choices[0])
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise InvalidInput(f"{name}={quoted(value)}: choose one of {', '.join(choices)}.")


def _seconds(options: dict[str, str], name: str, default: float) -> float:
    text = options.pop(name, None)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise InvalidInput(f"{name}={quoted(text)}: give seconds, from 0 to 86400.")
    return seconds

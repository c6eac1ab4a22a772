"""What a ``dynamodb:`` URL says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from mainstem.dynamodb.adapter import Sequencing
from mainstem.dynamodb.client.endpoints import check_endpoint
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.table_checks import check_name
from mainstem.dynamodb.items.tables import CREATION_SECONDS
from mainstem.errors import InvalidInput, StoreFormatError
from mainstem.text.printable import quoted
from mainstem.text.redaction import has_credentials, shown

_OPTIONS: Final = (
    "region",
    "endpoint",
    "profile",
    "partitions",
    "sequencing",
    "timeout",
    "connect_timeout",
    "read_timeout",
)
_LONGEST_TIMEOUT: Final = 3600.0
_REGION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[^@:\[\]]+")
_MOST_DIGITS: Final = 9


class StoreUrl(NamedTuple):
    """What a URL says, checked."""

    url: str
    name: str
    partitions: int | None
    sequencing: Sequencing
    timeout: float
    settings: Settings
    creation_timeout: float = CREATION_SECONDS


def parse(url: str) -> StoreUrl:
    """What a URL means. Raises `InvalidInput` with what is wrong with it."""
    try:
        parts = urlsplit(url, allow_fragments=False)
        given = parse_qsl(parts.query, keep_blank_values=True, errors="strict")
    except ValueError:  # of brackets, of too many options, of bytes that are no UTF-8
        parts, given = urlsplit(""), []
    name = parts.netloc
    if parts.scheme != "dynamodb" or parts.path not in ("", "/") or not _HOST.fullmatch(name):
        raise InvalidInput(
            f"{shown(url)!r:.200}: a DynamoDB URL is dynamodb:// and the name of the store, such as "
            "dynamodb://shop?region=eu-west-1 for the tables shop-events and shop-log."
        )
    check_name(name)
    options = _Options(dict(given), has_credentials(url))
    unknown = [option for option in options.values if option not in _OPTIONS]
    if unknown:
        which = "an option is" if options.are_secret else f"option {quoted(unknown[0])} is"
        raise InvalidInput(
            f"{shown(url)!r:.200}: {which} not known. Known are {', '.join(_OPTIONS)}."
        )
    for option, value in options.values.items():
        if not value:
            raise InvalidInput(
                f"{shown(url)!r:.200}: {option} is empty. Give it a value or leave it out."
            )
    defaults = Settings()
    settings = Settings(
        _region(options),
        _endpoint(options),
        options.values.get("profile"),
        _seconds(options, "connect_timeout", defaults.connect_timeout),
        _seconds(options, "read_timeout", defaults.read_timeout),
    )
    partitions = _whole(options, "partitions")
    timeout = _seconds(options, "timeout", 30.0)
    creation_timeout = _seconds(options, "timeout", CREATION_SECONDS)
    return StoreUrl(
        url, name, partitions, _sequencing(options), timeout, settings, creation_timeout
    )


class _Options(NamedTuple):
    """The options of a URL, as they were given."""

    values: Mapping[str, str]
    are_secret: bool
    """A password stands somewhere in the URL; where it has an ``&``, each value may be a piece of it."""

    def told(self, name: str) -> str:
        """An option for a message."""
        return f"{name}={'***' if self.are_secret else quoted(self.values[name])}"


def _sequencing(options: _Options) -> Sequencing:
    match options.values.get("sequencing", "transactional"):
        case "transactional":
            return "transactional"
        case "stream":
            return "stream"
        case _:
            raise InvalidInput(
                f"{options.told('sequencing')}: give 'transactional' (the log is written with each append) "
                "or 'stream' (a sequencer writes it from the table's change stream)."
            )


def check_partitions(url: StoreUrl, layout: Layout) -> None:
    """Raise `StoreFormatError` where the store has other partitions than the URL says."""
    if url.partitions not in (None, layout.partitions):
        raise StoreFormatError(
            f"The store {url.name!r} was made with {layout.partitions} partitions, not with "
            f"{url.partitions}, and that can't be changed. Leave the option out of the URL."
        )


def _region(options: _Options) -> str | None:
    region = options.values.get("region")
    if region is not None and not _REGION.fullmatch(region):
        raise InvalidInput(
            f"{options.told('region')}: give the name of a region, such as eu-west-1."
        )
    return region


def _endpoint(options: _Options) -> str | None:
    endpoint = options.values.get("endpoint")
    if endpoint is not None:
        check_endpoint(endpoint, is_secret=options.are_secret)
    return endpoint


def _whole(options: _Options, name: str) -> int | None:
    text = options.values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InvalidInput(f"{options.told(name)}: give a whole number.")
    return int(text)


def _seconds(options: _Options, name: str, default: float) -> float:
    text = options.values.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise InvalidInput(
            f"{options.told(name)}: give seconds, above 0 and up to {_LONGEST_TIMEOUT:g}."
        )
    return seconds

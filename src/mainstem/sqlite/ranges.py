"""Categories and prefixes as ranges of stream ids, which the index on them can seek.

SQLite compares text by its UTF-8 bytes, which is the order of the characters' code points.
"""

from __future__ import annotations

from mainstem.values.filters import LogFilter

_LAST_CHARACTER = "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)


def log_conditions(log_filter: LogFilter) -> tuple[str, list[str]]:
    """SQL to put after ``WHERE …``, beginning with AND if it is not empty, and its values."""
    sql, values = stream_conditions(log_filter)
    if log_filter.names is not None:
        names = sorted(log_filter.names)
        sql += f" AND name IN ({','.join('?' * len(names))})"
        values += names
    return sql, values


def stream_conditions(log_filter: LogFilter) -> tuple[str, list[str]]:
    """The same for stream ids alone."""
    category, prefix = log_filter.category, log_filter.prefix
    conditions, values = [], []
    if category is not None:
        # "order" itself, or anything from "order-" up to "order.", the next character's turn. The
        # outer bounds come first and apart, so that the index is entered at the category.
        conditions.append("stream_id >= ? AND stream_id < ? AND (stream_id = ? OR stream_id >= ?)")
        values += [category, f"{category}.", category, f"{category}-"]
    if prefix:
        conditions.append("stream_id >= ?")
        values.append(prefix)
        end = after_prefix(prefix)
        if end is not None:
            conditions.append("stream_id < ?")
            values.append(end)
    return "".join(f" AND {condition}" for condition in conditions), values


def after_prefix(prefix: str) -> str | None:
    """The least text above all that begin with the prefix; None where nothing is above them."""
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if code in _SURROGATES else code)

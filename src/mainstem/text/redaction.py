"""What of a URL, or of a message that may hold one, can be shown: no password, no token.

Everything that tells of an endpoint, a proxy or a store's URL goes through here. Where it is not clear
what of a text is the secret, more of it is left out rather than less.
"""

from __future__ import annotations

import re
from typing import Final

_MASK: Final = "***"

_CREDENTIALS: Final = re.compile(r"((?::|%3a)(?:/|%2f){2}).*(?:@|%40)", re.IGNORECASE | re.DOTALL)
"""From the first ``://`` to the last ``@``, also where they are percent-encoded: a password may have
any character in between, slashes included."""
_BARE: Final = re.compile(
    r"(?<!\S)(?!\S*(?::|%3a)(?:/|%2f){2})\S*(?::|%3a)\S*(?:@|%40)", re.IGNORECASE
)
"""``user:password@`` without a scheme."""
_TOKEN: Final = re.compile(r"(x-amz-security-token\W{1,3})[^\s'\",&]+", re.IGNORECASE)
"""AWS quotes headers in some of its messages about signatures."""


def redacted(text: str) -> str:
    """A message without the credentials of the URLs in it, and without session tokens."""
    text = _BARE.sub(f"{_MASK}@", text)
    text = _CREDENTIALS.sub(rf"\1{_MASK}@", text)
    return _TOKEN.sub(rf"\1{_MASK}", text)


def shown(url: str) -> str:
    """A URL without credentials and without the values of its options, which may be secret too."""
    place, mark, options = url.partition("?")
    if has_credentials(options):
        # Credentials of an endpoint, or a password with a question mark in it.
        scheme, separator, _ = place.partition("://")
        return f"{scheme}{separator}{_MASK}" if separator else _MASK
    text = redacted(place)
    if "://" not in text and "@" in text:
        text = f"{_MASK}@{text.rpartition('@')[2]}"
    return f"{text}?…" if mark else text


def has_credentials(url: str) -> bool:
    """Whether a part of it may be a password, in whichever place."""
    return "@" in url or "%40" in url

"""From the ``--url`` option to an open store."""

from __future__ import annotations

import click

import mainstem


class Place:
    """Where the commands find their store."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    @property
    def url(self) -> str:
        """The URL. Raises a usage error where none was given."""
        if not self._url:
            raise click.UsageError(
                "Which store? Give --url before the command, such as --url sqlite:///shop.db, or set "
                "MAINSTEM_URL."
            )
        return self._url

    def open(self, *, create: bool = False) -> mainstem.Store:
        """The open store. Only commands that write may create one: a mistyped path shall be an error."""
        return mainstem.connect(self.url, create=create)


pass_place = click.make_pass_decorator(Place)

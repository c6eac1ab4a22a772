"""From the ``--url`` option to an open store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mainstem
from mainstem.connect import scheme_of
from mainstem.text.printable import printable

if TYPE_CHECKING:
    from mainstem.dynamodb.maintenance import Maintenance


class Place:
    """Where the commands find their store."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    @property
    def url(self) -> str:
        """The URL. Raises a usage error if none was given."""
        if not self._url:
            raise click.UsageError(
                "Which store? Give --url, such as --url sqlite:///shop.db, or set MAINSTEM_URL."
            )
        return self._url

    def open(self, *, create: bool = False) -> mainstem.Store:
        """The open store. Only commands that write may create one, so that a mistyped path is an error."""
        return mainstem.connect(self.url, create=create)

    def maintain(self) -> Maintenance:
        """The tables of a store on DynamoDB, for what only such a store needs."""
        self.check_needs("maintenance")
        from mainstem.dynamodb.maintenance import Maintenance

        return Maintenance(self.url)

    def check_needs(self, what: str) -> None:
        """Raises a usage error where such a store has no need of it (see `mainstem.schemes.Scheme.LACKS`)."""
        why = scheme_of(self.url).LACKS.get(what)
        if why is not None:
            raise click.UsageError(f"{printable(self.url)} {why}")


pass_place = click.make_pass_decorator(Place)

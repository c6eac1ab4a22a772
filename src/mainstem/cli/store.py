"""From the ``--url`` option to an open store."""

from __future__ import annotations

import click

import mainstem
from mainstem.registry import scheme_name, scheme_of
from mainstem.schemes import Tool, lacked
from mainstem.text.printable import printable
from mainstem.text.redaction import shown


class ChosenStore:
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

    def check_needs(self, tool: Tool) -> None:
        """Raises a usage error where such a store has no need of the tool."""
        why = lacked(scheme_of(self.url), scheme_name(self.url), tool)
        if why is not None:
            raise click.UsageError(f"{printable(shown(self.url))} {why}")


pass_chosen = click.make_pass_decorator(ChosenStore)

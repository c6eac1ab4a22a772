"""Help for the tests of those who use Mainstem or write an adapter for it.

`given` and `recorded` are for deciders and handlers. `mainstem.testing.contract` is the suite that
every adapter passes; it needs pytest and hypothesis (``pip install 'mainstem[testing]'``).
"""

from mainstem.testing.given import Given, When, given, recorded

__all__ = ["Given", "When", "given", "recorded"]

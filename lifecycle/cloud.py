"""What a roll needs of the account that its machines are in, found out before anything is touched.

Machines of metal have none. Whatever a kind of machine needs besides the machines themselves goes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lifecycle.permissions import Forbidden


class Cloud(Protocol):
    """The account, as the identity of the steps sees it. Changes nothing."""

    def forbidden(self) -> tuple[Forbidden, ...]:
        """Of all that a roll asks of the account, what its identity may not, as far as that can be known."""
        ...

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        """Every machine that is there and says it is this stack's, in words, by the host it says it stands for."""
        ...


class Nowhere:
    """Of a fleet without any: there is nothing that could be missing."""

    def forbidden(self) -> tuple[Forbidden, ...]:
        return ()

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        return {}

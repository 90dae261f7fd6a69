"""What a rack has on AWS, where a fleet has machines there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.ports import Pin

if TYPE_CHECKING:  # it imports moto, which no other rack needs
    from components.boot.user_data import UserData
    from rehearsal.aws.account import Account


@dataclass(frozen=True)
class OnAws:
    """account: what calls reach. stack: by whose name everything is tagged. bucket: (name, region) of the boot store,
    None where that is none. user_data: what an instance of a pin starts with in a zone."""

    account: Account
    stack: str
    bucket: tuple[str, str] | None
    user_data: Callable[[Pin, str], UserData]

    @contextmanager
    def looking(self, region: str) -> Iterator[Any]:
        """EC2's client for a look of the rack's own, which no fault strikes. Lock held."""
        with self.account.undisturbed():
            yield self.account.client("ec2", region)

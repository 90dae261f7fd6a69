"""The kinds of machine that a pool may be made of; each fulfils components.machines.contract.Kind.

Plain data and pure functions: what a kind registers with the engine besides the machines themselves is
components/infrastructure.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from components.machines.aws import AwsMachines
from components.machines.bare_metal import BareMetal
from components.machines.contract import Switched

if TYPE_CHECKING:
    from lifecycle import ports
    from lifecycle.adapters.machines import Kit

Machines = Annotated[BareMetal | AwsMachines, Field(discriminator="kind")]
"""The machines of a pool. A kind more is one module beside these and its model here."""


def adapters(kit: Kit) -> Mapping[str, ports.Machines]:
    """By the scheme of a controller's URL, the adapters of all kinds that bring their own."""
    kinds = get_args(get_args(Machines)[0])
    return {
        scheme: found for kind in kinds if issubclass(kind, Switched) for scheme, found in kind.adapters(kit).items()
    }

"""The kinds of machine that a pool may be made of; each fulfils components.machines.contract.Kind.

Plain data and pure functions: what a kind registers with the engine besides the machines themselves is
components/infrastructure.py's.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.machines.aws import AwsMachines
from components.machines.bare_metal import BareMetal

Machines = Annotated[BareMetal | AwsMachines, Field(discriminator="kind")]
"""The machines of a pool. A kind more is one module beside these and its model here."""

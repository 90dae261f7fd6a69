"""Who a node is to its storage: names that every replacement keeps, and no two nodes share."""

from __future__ import annotations

import uuid
from typing import Final

NAMES: Final = uuid.UUID("5f0c1b6e-6a0b-5d0e-9c53-3f0d3a1c7e42")
"""Namespace of the identities below. Changing it would give every node of every fleet a new one."""


def host_id(cluster: str, node: str) -> str:
    """The node's NVMe host id: the same after every replacement, and another for every node."""
    return str(uuid.uuid5(NAMES, f"{cluster}/{node}"))


def host_nqn(cluster: str, node: str) -> str:
    """The node's NVMe host qualified name, from its host id."""
    return f"nqn.2014-08.org.nvmexpress:uuid:{host_id(cluster, node)}"

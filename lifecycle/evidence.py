"""The phases of a node's way out and in, in order; the report draws them, the journal names them."""

from __future__ import annotations

LEAVING = ("slot", "gates", "cordon", "drain", "detach", "etcd-out", "storage-out")
"""Phases of `leave`. slot: waits for its budget. gates: quorum, redundancy, budgets."""

REPLACING = ("power-off", "install", "boot")
"""Phases of `release` and `provision`."""

JOINING = ("credentials", "register", "etcd-in", "storage-in", "attach", "soak")
"""Phases of `join`."""

PHASES = (*LEAVING, *REPLACING, *JOINING)

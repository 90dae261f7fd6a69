"""Free ports of loopback."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from lab.errors import NoFreePort

LOWEST = 10_000
"""Below are ports that services on a developer's machine commonly use."""

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""From here up the kernel gives ports to outgoing connections: one chosen there may be taken before it is bound."""

TRIES_PER_PORT = 50
"""Random tries before giving up: on a machine where half of all ports are taken, one in 10^15 misses."""


def free_ports(count: int, address: str = "127.0.0.1") -> tuple[int, ...]:
    """`count` different ports that nothing is bound to at this moment. Raises NoFreePort.

    All are held until the last is found, so that none is given twice.
    """
    end = _first_ephemeral()
    held: dict[int, socket.socket] = {}
    try:
        for _ in range(count * TRIES_PER_PORT):
            if len(held) == count:
                return tuple(held)
            port = LOWEST + secrets.randbelow(end - LOWEST)
            taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                taken.bind((address, port))
            except OSError:
                taken.close()
            else:
                held[port] = taken
        if len(held) == count:
            return tuple(held)
        raise NoFreePort(count, len(held))
    finally:
        for taken in held.values():
            taken.close()


def _first_ephemeral() -> int:
    try:
        first = int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768  # the kernel's default
    return first if first > LOWEST + 1_000 else 65_536

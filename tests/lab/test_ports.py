"""Free ports of loopback."""

from __future__ import annotations

import socket

import pytest

from lab.errors import NoFreePort
from lab.ports import LOWEST, free_ports


class TestPorts:
    """Each can be bound, and none is given twice."""

    def test_are_different_and_free(self) -> None:
        ports = free_ports(20)
        assert len(set(ports)) == 20
        assert min(ports) >= LOWEST
        for port in ports:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", port))

    def test_none_free_is_said(self) -> None:
        with pytest.raises(NoFreePort, match=r"expected 1 free ports, found 0\. Remedy: `ss -ltn`"):
            free_ports(1, address="192.0.2.1")  # no address of this machine: nothing can be bound there

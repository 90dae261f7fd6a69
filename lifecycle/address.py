"""How hosts are written: with a port, and in one form to compare by."""

from __future__ import annotations

import ipaddress


def authority(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address. host: a name or an address, itself without brackets."""
    form = plain(host)
    return f"[{form}]:{port}" if ":" in form else f"{form}:{port}"


def plain(host: str) -> str:
    """The one form of an address (IPv6 has many), or of a name: small letters. No brackets."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()

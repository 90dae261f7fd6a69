"""What stands before the lab's management controllers and does to them what theirs do: it fails requests by the rule
of lab.proxy, and lies about a host's power.

    with ControllerFront(lab.layout) as front:
        front.rule = lambda asked: Fault(503, retry_after_s=7) if asked.turn == 0 else None
        front.says = lambda power: "Off"     # whatever it is
        ...                                  # a client of front.system_url(1)
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable

from lab import redfish
from lab.certificates import Pair
from lab.layout import HOST, Layout
from lab.proxy import Asked, Front

SYSTEMS = "/redfish/v1/Systems/"


class ControllerFront(Front):
    """says: what the answers say of a power state. pair: the certificate that it shows, another than the lab's."""

    def __init__(self, layout: Layout, pair: Pair | None = None) -> None:
        authority = layout.bmc_authority()
        shown = pair or authority.server("front", HOST, "localhost")
        below = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        below.load_cert_chain(shown.certificate, shown.key)
        above = ssl.create_default_context(cafile=str(authority.pair.certificate))
        super().__init__(below, (HOST, layout.shape.redfish_port), above)
        self.says: Callable[[str], str] = str
        self.carried_out: Callable[[Asked], None] = lambda asked: None
        self._layout = layout

    def system_url(self, number: int) -> str:
        """The address of a system, as it stands in a stack file."""
        return f"https://{HOST}:{self.port}{SYSTEMS}{redfish.system_id(number)}"

    def answered(self, asked: Asked, text: bytes) -> bytes:
        """Of a system, with the power that it is said to have."""
        self.carried_out(asked)
        if asked.method != "GET" or not asked.path.startswith(SYSTEMS) or b'"PowerState"' not in text:
            return text
        document = json.loads(text)
        document["PowerState"] = self.says(document["PowerState"])
        return json.dumps(document).encode()

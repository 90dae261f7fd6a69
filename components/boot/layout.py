"""Where things are in the boot store: one place that says it for whoever publishes, fetches or keeps records.

Paths are relative to `boot_store.url` for machines and to `boot_store.directory` for the steps.
What is under `boot/` is public within the site and never changes: its path holds the digest of what it is.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from components.images.lock import Artifact

BOOT: Final = "boot"
ONCE: Final = "once"
PROGRESS: Final = "progress"

PLAIN: Final = re.compile(r"[][A-Za-z0-9._=:/+~@%#,-]+")
"""What neither a kernel command line, iPXE nor a shell takes for more than itself: no space, quote, backslash or $."""


def script(generation: str, node: str) -> str:
    """The iPXE script that starts the installer. The boot override of a step leads here."""
    return f"{BOOT}/{generation}/{node}.ipxe"


def boot_url(store: str, generation: str, node: str) -> str:
    """Where the boot override leads. store: the boot store's URL."""
    return f"{store}/{script(generation, node)}"


def installer(generation: str, node: str) -> str:
    """The installer's own Ignition configuration."""
    return f"{BOOT}/{generation}/{node}.ign"


def kept(artifact: Artifact) -> str:
    """A file of the image's publisher, by its content."""
    return f"{BOOT}/sha256/{artifact.sha256}/{PurePosixPath(urlsplit(artifact.url).path).name}"


def kept_signature(artifact: Artifact) -> str:
    """Its publisher's signature, by what it signs: of its own content nothing is pinned but who signed."""
    return f"{kept(artifact)}.sig"


def stored_configuration(sha256: str) -> str:
    """An Ignition configuration that had no room where its machine reads one. sha256: of it."""
    return f"{BOOT}/{sha256}.ign"


def once(node: str) -> str:
    """A node's one-time location: `lifecycle.ports.Delivery` puts its credentials here, and its `withdraw`
    takes them away: until then every GET finds them, so that a machine that was cut off may ask again."""
    return f"{ONCE}/{node}"


def progress(node: str) -> str:
    """Where a machine PUTs how far it has come: `{"generation": ..., "state": ...}`, state being
    `installing`, `installed`, `running` or `failed`."""
    return f"{PROGRESS}/{node}"

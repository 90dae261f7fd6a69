"""What a Talos configuration may write, and the checks of components/boot/immutability.py as they are for one.

Talos runs no command of ours, so what is left to hold it to: where its files go, and that all it fetches is pinned.
Its own packages do not check the first (a file elsewhere stops the machine's boot, not its validation).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.boot.immutability import CONFIGURATION, Root, text_problems
from components.boot.machine_config import SEPARATOR

HOST_ID, HOST_NQN = "/etc/nvme/hostid", "/etc/nvme/hostnqn"
"""Talos makes both from an identity that an installation renews; ours stay with the node."""
OVERLAID: Final = frozenset({HOST_ID, HOST_NQN})
"""Files of the image's that a configuration may put its own over: Talos keeps that below /var and mounts it there,
read-only (WriteUserFiles in 1.13; `overwrite` of a file that is not there fails)."""
ROOT: Final = Root(
    os="talos",
    read_only="its root is a squashfs image, /var alone is a partition of its own",
    writable=("/var",),
    links={},
)
FETCHING: Final = (
    ("cluster", "externalCloudProvider", "manifests"),
    ("cluster", "extraManifests"),
    ("cluster", "network", "cni", "urls"),
    ("machine", "install", "extensions"),
    ("machine", "pods"),
)
"""Fields by which Talos fetches, or runs, something whose content nothing pins."""


def problems(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Everything in what is published for a node, or configures it, that the image's immutability forbids.

    files: by name, as contract.covered gives them.
    """
    found: list[str] = []
    for name, data in files.items():
        text = data.decode("utf-8", "replace")
        found += _configuration(name, text) if name == CONFIGURATION else text_problems(name, text)
    return tuple(dict.fromkeys(found))


def _configuration(name: str, text: str) -> Iterator[str]:
    for index, part in enumerate(text.split(SEPARATOR)):
        document = json.loads(part)
        at = f"{name}: document {index}"
        for file in _at(document, "machine", "files") or ():
            yield from _file(f"{at}, machine.files", file)
        image = _at(document, "machine", "install", "image")
        if image is not None and "@sha256:" not in image:
            yield f"{at}, machine.install.image: expected an installer by its digest, found {image}"
        for path in FETCHING:
            if _at(document, *path):
                yield f"{at}, {'.'.join(path)}: expected nothing whose content is not pinned, found something"


def _file(at: str, file: Mapping[str, Any]) -> Iterator[str]:
    path = str(file.get("path"))
    if not (file.get("op") == "overwrite" and path in OVERLAID) and (problem := ROOT.problem(at, path)):
        yield problem
    yield from text_problems(f"{at} ({path})", str(file.get("content", "")))


def _at(document: Any, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document

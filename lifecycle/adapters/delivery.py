"""A node's one-time location: a file in the boot store, there only while the node comes in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from lifecycle.adapters.files import make_directory, refused, safe_name, sync_directory, write_atomically
from lifecycle.ports import Credentials

FILE_MODE, DIRECTORY_MODE = 0o640, 0o750
"""Readable for the group of the web server that hands it to the node, for nobody else."""


class DirectoryDelivery:
    """Fulfils `lifecycle.ports.Delivery`.

    directory: finds the boot store's directory, asked on first use; may raise PortError.
    """

    def __init__(self, directory: Callable[[], Path]) -> None:
        self._directory = directory

    def deliver(self, node: str, credentials: Credentials) -> None:
        text = credentials.configuration or _document(credentials)
        store = self._directory()
        make_directory(store / "once", DIRECTORY_MODE, below=store)
        write_atomically(store / "once" / safe_name(node), text.encode(), FILE_MODE)

    def withdraw(self, node: str) -> None:
        path = self._directory() / "once" / safe_name(node)
        try:
            path.unlink()
            sync_directory(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused(path, error) from error


def _document(credentials: Credentials) -> str:
    """What `ingot-join` reads (components/boot/scripts.py)."""
    content = dataclasses.asdict(dataclasses.replace(credentials, pki=dict(credentials.pki)))
    del content["configuration"]
    return json.dumps(content, sort_keys=True)

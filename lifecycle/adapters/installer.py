"""What a host boots of its image's publisher: files that a boot store keeps, so that no host asks the publisher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lifecycle.adapters.object_store import Objects


@dataclass(frozen=True)
class Artifact:
    """A file of the image's publisher, as pinned. path: where a boot store keeps it, by its content."""

    url: str
    sha256: str
    path: str


@dataclass(frozen=True)
class Installer:
    """What starts on a host, whether it installs or erases.

    arguments: of the kernel. fetch: a file of the publisher's by its URL, as `object_store.Fetch` does. beside: what
    kernel and initrd fetch in their turn. signatures: path in the boot store -> gets the signature of what is beside
    it.
    """

    kernel: Artifact
    initrd: Artifact
    arguments: tuple[str, ...]
    fetch: Callable[[str], AbstractContextManager[Path]]
    beside: tuple[Artifact, ...] = ()
    signatures: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)

    def keep_in(self, objects: Objects) -> None:
        """Have all of it in the boot store, as pinned: before anything there leads to it. What is there is not fetched
        again. Raises as `Objects.keep` and `fetch` do."""
        for artifact in (self.kernel, self.initrd, *self.beside):
            objects.keep(artifact.path, artifact.sha256, partial(self.fetch, artifact.url))
        for path, get in self.signatures.items():
            # Nothing pins its bytes: the machine's installer judges it. So whichever came first stays.
            if objects.read(path) is None:
                objects.write(path, get(), None)

"""What keeps the objects of each kind of boot store, found when a step first needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from lifecycle.adapters.boot_store import BootStore, BootTarget, StoredBoot
from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.installer import Installer
from lifecycle.adapters.matchbox import MatchboxBoot
from lifecycle.adapters.object_store import Objects
from lifecycle.adapters.place import Bucket, Matchbox, Place
from lifecycle.adapters.s3_objects import S3Objects
from lifecycle.ports import Clock, Pin, Progress

Contents = Callable[[Pin], Mapping[str, bytes]]


class Stores:
    """One boot store. place: finds where it is, asked on first use; may raise NeedsAttention."""

    def __init__(self, place: Callable[[], Place], clock: Clock) -> None:
        self._find, self._clock = place, clock

    @cached_property
    def _place(self) -> Place:
        return self._find()

    def private(self) -> Objects:
        """What keeps records: nothing serves it to machines."""
        place = self._place
        return S3Objects(place, self._clock) if isinstance(place, Bucket) else self._folder(place.directory)

    def served(self) -> Objects:
        """What keeps the objects that machines read and write."""
        place = self._place
        return self._folder(place.assets) if isinstance(place, Matchbox) else self.private()

    def boot(self, url: Callable[[], str], contents: Contents, installer: Callable[[Pin], Installer]) -> BootStore:
        """Both ends of the boot store. url: where machines fetch from. contents: what is made for a pin's host.
        installer: what it boots of its image's publisher."""
        return _Late(lambda: self._boot(url, contents, installer))

    def _boot(self, url: Callable[[], str], contents: Contents, installer: Callable[[Pin], Installer]) -> BootStore:
        place = self._place
        if isinstance(place, Matchbox):
            return MatchboxBoot(self._folder(place.directory), self._folder(place.assets), url, contents, installer)
        return StoredBoot(self.served, url, contents, installer)

    def _folder(self, directory: Path) -> DirectoryObjects:
        return DirectoryObjects(directory, self._clock)


class _Late:
    """Fulfils `BootStore` by one that is found when it is first asked."""

    def __init__(self, find: Callable[[], BootStore]) -> None:
        self._find = find

    @cached_property
    def _store(self) -> BootStore:
        return self._find()

    def prepare(self, pin: Pin) -> None:
        self._store.prepare(pin)

    def publish(self, pin: Pin) -> BootTarget:
        return self._store.publish(pin)

    def target(self) -> BootTarget:
        return self._store.target()

    def withdraw(self, host: str) -> None:
        self._store.withdraw(host)

    def progress(self, pin: Pin) -> Progress:
        return self._store.progress(pin)

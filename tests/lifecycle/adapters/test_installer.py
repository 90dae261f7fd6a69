"""Files of an image's publisher in a boot store of each kind: as pinned, and fetched once; or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.installer import Artifact, Installer
from lifecycle.adapters.object_store import Objects
from lifecycle.errors import NeedsAttention, PortError
from tests.lifecycle.adapters.stores import Store

KEPT = b"an initramfs" * 1000
DIGEST = hashlib.sha256(KEPT).hexdigest()
ARTIFACT = f"boot/sha256/{DIGEST}/initramfs.img"


class Publisher:
    """Has one file. fetched: how often it was asked for; `started` is set each time, and the answer waits for `go`."""

    def __init__(self, folder: Path, data: bytes = KEPT) -> None:
        self.fetched, self.started, self.go = 0, threading.Event(), threading.Event()
        self.go.set()
        self._file, self._data = folder / "fetched", data

    @contextlib.contextmanager
    def fetch(self) -> Iterator[Path]:
        self.fetched += 1
        self.started.set()
        assert self.go.wait(60)
        self._file.write_bytes(self._data)
        yield self._file
        self._file.unlink()


def data_of(objects: Objects, path: str = ARTIFACT) -> bytes:
    found = objects.read(path)
    assert found is not None
    return found.data


@pytest.fixture
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(tmp_path_factory.mktemp("publisher"))


class TestAFileOfThePublishers:
    """It is there as pinned, fetched once, or not there at all."""

    def test_it_is_there(self, objects: Objects, publisher: Publisher) -> None:
        objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert data_of(objects) == KEPT
        assert objects.below("boot/") == (ARTIFACT,)

    def test_a_second_time_nothing_is_fetched(self, objects: Objects, other: Objects, publisher: Publisher) -> None:
        objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        other.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert publisher.fetched == 1

    def test_another_file_than_pinned_leaves_nothing(
        self, objects: Objects, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        publisher = Publisher(tmp_path_factory.mktemp("another"), b"another")
        with pytest.raises(
            NeedsAttention, match=rf"{ARTIFACT}: found a file of digest .*not {DIGEST}.*images\.md#digest"
        ):
            objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert objects.below("boot/") == ()

    def test_one_that_somebody_changed_is_refused_and_kept(
        self, store: Store, objects: Objects, publisher: Publisher
    ) -> None:
        store.raw(ARTIFACT, b"another")
        with pytest.raises(NeedsAttention, match=r"initramfs\.img: found other bytes"):
            objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert (data_of(objects), publisher.fetched) == (b"another", 0)

    def test_one_that_the_site_put_there_will_do(self, store: Store, objects: Objects, publisher: Publisher) -> None:
        store.raw(ARTIFACT, KEPT)
        objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert publisher.fetched == 0

    def test_a_publisher_that_does_not_answer(self, objects: Objects, publisher: Publisher) -> None:
        @contextlib.contextmanager
        def fetch() -> Iterator[Path]:
            raise PortError("https://publisher.example", "HTTP 503", "ask again")
            yield Path()  # type: ignore[unreachable]  # makes it a generator

        with pytest.raises(PortError, match="HTTP 503"):
            objects.keep(ARTIFACT, DIGEST, fetch)
        assert objects.below("boot/") == ()
        objects.keep(ARTIFACT, DIGEST, publisher.fetch)
        assert data_of(objects) == KEPT

    def test_of_two_lanes_one_fetches(self, store: Store, publisher: Publisher) -> None:
        publisher.go.clear()
        lanes = [
            threading.Thread(target=store.open(WallClock()).keep, args=(ARTIFACT, DIGEST, publisher.fetch))
            for _ in range(2)
        ]
        for lane in lanes:
            lane.start()
        assert publisher.started.wait(60)
        assert store.open(WallClock()).read(ARTIFACT) is None  # half a file is none
        publisher.go.set()
        for lane in lanes:
            lane.join(60)
        assert publisher.fetched == 1
        assert data_of(store.open(WallClock())) == KEPT


class TestAnInstaller:
    """All that a host boots is kept, and the signature that came first stays."""

    def test_is_kept_whole(self, objects: Objects, publisher: Publisher) -> None:
        asked: list[str] = []

        @contextlib.contextmanager
        def fetch(url: str) -> Iterator[Path]:
            asked.append(url)
            with publisher.fetch() as file:
                yield file

        kernel, initrd, image = (Artifact(name, DIGEST, f"boot/sha256/{DIGEST}/{name}") for name in "kim")
        for signature in (b"first", b"second"):
            signatures = {f"{image.path}.sig": lambda signature=signature: signature}
            Installer(kernel, initrd, (), fetch, (image,), signatures).keep_in(objects)
        assert asked == ["k", "i", "m"]
        assert [data_of(objects, a.path) for a in (kernel, initrd, image)] == [KEPT] * 3
        assert data_of(objects, f"{image.path}.sig") == b"first"

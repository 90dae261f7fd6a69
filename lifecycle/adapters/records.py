"""Claims and the initialised record: JSON files beside the boot store, outside any OS disk.

`records/hosts/<host>.json` is shared by all stacks of one boot store, so that two of them cannot claim
one host, nor one machine under two names; `records/stacks/<stack>/initialised.json` belongs to one. A
record that cannot be read is an error, never an absent one: absent means "free" and "not initialised".

`records/machines/<digest>.json` says which host took a machine last, one file for each of its marks, written before
that host's claim, so that one claim has to be read to know who holds it, not all. It decides nothing alone: the claim
does. One that is absent means "not known", and all claims are read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lifecycle import owners
from lifecycle.adapters.files import locked, make_directory, refused, safe_name, sync_directory, write_atomically
from lifecycle.errors import NeedsAttention
from lifecycle.ports import BootMethod, Claim, ClaimState, Clock, Controller, Erasure, Role

FORMAT = 1
"""Raised when a record's meaning changes. A newer one than this is refused, never guessed at."""
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700


class DirectoryRecords:
    """Fulfils `lifecycle.ports.Records`.

    directory: finds the boot store's directory, asked on first use; may raise NeedsAttention.
    """

    def __init__(self, directory: Callable[[], Path], stack: str, clock: Clock) -> None:
        self._directory, self._stack, self._clock = directory, stack, clock

    def claim(self, host: str) -> Claim | None:
        return _claim(self._hosts() / f"{safe_name(host)}.json")

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        path = self._hosts() / f"{safe_name(host)}.json"
        with locked(path.with_suffix(".lock"), self._clock):
            if _claim(path) != expected:
                return False
            if new is None:
                if expected is not None:
                    _remove(path)
            elif marks := owners.taken(new, expected):
                # Two hosts of one machine hold different locks, so those of the machine come on top: in one order.
                with contextlib.ExitStack() as locks:
                    for name in sorted(map(_digest, marks)):
                        locks.enter_context(locked(path.parent / f".{name}.lock", self._clock))
                    owners.refuse_second(host, new, self._rivals(marks))
                    for mark in marks:
                        self._file(mark, host)
                    _write(path, new)
            else:
                _write(path, new)
            return True

    def holder(self, host: str, controller: Controller) -> str:
        return owners.holder(host, controller, self._rivals((owners.machine(controller),)))

    def _rivals(self, marks: Iterable[str]) -> dict[str, Claim]:
        """Every claim that may hold a machine of one of these marks, by host. Whoever takes one is filed first, so
        no other than the last one can."""
        last = [_text_in(self._filed(mark), "host") for mark in marks]
        if None in last:
            return self.claims()
        found = {host: self.claim(host) for host in last if host is not None}
        return {host: claim for host, claim in found.items() if claim is not None}

    def _file(self, mark: str, host: str) -> None:
        path = self._filed(mark)
        if _text_in(path, "host") != host:
            write_atomically(path, as_filed(host), FILE_MODE)

    def _filed(self, mark: str) -> Path:
        return self._made("machines") / f"{_digest(mark)}.json"

    def initialised_by(self) -> str | None:
        return _text_in(self._own() / "initialised.json", "node")

    def record_initialised(self, node: str) -> bool:
        return self._record_once("initialised.json", node)

    def _record_once(self, name: str, node: str) -> bool:
        path = self._own() / name
        with locked(path.with_suffix(".lock"), self._clock):
            before = _text_in(path, "node")
            if before is None:
                write_atomically(path, _json({"node": node, "at_s": round(self._clock.now_s(), 3)}), FILE_MODE)
            return before in (None, node)

    def initialising_by(self) -> str | None:
        return _text_in(self._own() / "initialising.json", "node")

    def record_initialising(self, node: str) -> bool:
        return self._record_once("initialising.json", node)

    def forget_initialising(self, node: str) -> None:
        path = self._own() / "initialising.json"
        with locked(path.with_suffix(".lock"), self._clock):
            if _text_in(path, "node") == node:
                _remove(path)

    def claims(self) -> dict[str, Claim]:
        """Every claim of the boot store, of all stacks, by host. Raises NeedsAttention if one cannot be read."""
        found = {unquote(path.stem): _claim(path) for path in sorted(self._hosts().glob("*.json"))}
        return {host: claim for host, claim in found.items() if claim is not None}

    def _hosts(self) -> Path:
        return self._made("hosts")

    def _own(self) -> Path:
        # "stacks" keeps a stack that is called `hosts` away from the claims.
        return self._made("stacks", safe_name(self._stack))

    def _made(self, *parts: str) -> Path:
        store = self._directory()
        directory = store.joinpath("records", *parts)
        make_directory(directory, DIRECTORY_MODE, below=store)
        return directory


def _claim(path: Path) -> Claim | None:
    found = _read(path)
    if found is None:
        return None
    try:
        fields = dict(found["claim"])
        fields["controller"] = Controller(**fields["controller"])
        fields["state"], fields["role"] = ClaimState(fields["state"]), Role(fields["role"])
        if fields.get("erase") is not None:
            fields["erase"] = _erasure(dict(fields["erase"]))
        return Claim(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, f"a claim that does not fit: {type(error).__name__}: {error}") from error


def _erasure(fields: dict[str, Any]) -> Erasure:
    fields["data_disks"] = tuple(fields["data_disks"])
    fields["boot"] = tuple(BootMethod(method) for method in fields["boot"])
    return Erasure(**fields)


def _write(path: Path, claim: Claim) -> None:
    write_atomically(path, as_stored(claim), FILE_MODE)


def as_stored(claim: Claim) -> bytes:
    """The bytes of a claim's record."""
    return _json({"claim": dataclasses.asdict(claim)})


def machine_file(controller: Controller) -> str:
    """The name of the file that says which host took a machine last."""
    return f"{_digest(owners.machine(controller))}.json"


def as_filed(host: str) -> bytes:
    """The bytes of that file."""
    return _json({"host": host})


def _digest(name: str) -> str:
    """A file name for a name of any length."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _text_in(path: Path, field: str) -> str | None:
    found = _read(path)
    if found is None:
        return None
    text = found.get(field)
    if not isinstance(text, str) or not text:
        raise _unreadable(path, f"a record without `{field}`")
    return text


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(path, error) from error
    except ValueError as error:
        raise _unreadable(path, "text that is not JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise _unreadable(path, f"format {found.get('format') if isinstance(found, dict) else None!r}, not {FORMAT}")
    return found


def _json(found: dict[str, Any]) -> bytes:
    return (json.dumps({"format": FORMAT, **found}, indent=2, sort_keys=True) + "\n").encode()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def _unreadable(path: Path, found: str) -> NeedsAttention:
    return NeedsAttention(
        f"record {path}",
        found,
        "restore the file from a backup of the boot store (and remove `machines` beside `hosts`: it is written "
        "anew), or update this checkout; "
        "never delete it while a machine may be in use",
    )

"""Claims and the initialised record: JSON objects of the boot store, outside any OS disk.

`records/hosts/<host>.json` is shared by all stacks of one boot store, so that two of them cannot claim
one host, nor one machine under two names; `records/stacks/<stack>/initialised.json` belongs to one. A
record that cannot be read is an error, never an absent one: absent means "free" and "not initialised".

`records/machines/<digest>.json` says which host took a machine last, one for each of its marks (lifecycle.owners),
written before that host's claim, so that one claim has to be read to know who holds it, not all. It decides nothing
alone: the claim does. One that is absent means "not known", and all claims are read.

No store changes two objects at once, so a machine is taken in an order that lets no two hosts have it
(docs/decisions/0092.md says why): read the host's claim; file the machine for the host, in any case anew; write
the claim, if it is the version that was read. Before a machine that was filed for another host is filed for this
one, that host's claim is read and, if it does not hold the machine, written anew as it was. A step of that host
that was about to write its claim finds another version than it read, and begins again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import secrets
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lifecycle import owners
from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.files import safe_name
from lifecycle.adapters.object_store import RECORDS, Objects, Stored
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import BootMethod, Claim, ClaimState, Clock, Controller, Erasure, Role

FORMAT = 1
"""Raised when a record's meaning changes. A newer one than this is refused, never guessed at."""
HOSTS, MACHINES, STACKS = f"{RECORDS}/hosts", f"{RECORDS}/machines", f"{RECORDS}/stacks"
"""`stacks` keeps a stack that is called `hosts` away from the claims."""
TRIES = 8
"""Of a change that others keep interfering with: each is a few requests long, so two rivals settle it sooner."""
PAUSE_S = 0.2
"""At most, before the second try; twice as long before each further one. By chance, so that rivals fall out of step."""


class StoredRecords:
    """Fulfils `lifecycle.ports.Records`, on whatever keeps the objects.

    find: finds that, asked on first use; may raise NeedsAttention.
    """

    def __init__(self, find: Callable[[], Objects], stack: str, clock: Clock) -> None:
        self._find, self._stack, self._clock = find, stack, clock

    @cached_property
    def _objects(self) -> Objects:
        return self._find()

    def claim(self, host: str) -> Claim | None:
        return self._claim(_of_host(host))[0]

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        path = _of_host(host)
        for attempt in range(TRIES):
            self._pause(attempt)
            found, version = self._claim(path)
            if found != expected:
                return False
            if new is None and expected is None:
                return True
            if new is not None and not all(self._reserve(host, new, mark) for mark in owners.taken(new, expected)):
                continue
            if self._replace(path, new, version):
                return True
        raise self._contended(path)

    def holder(self, host: str, controller: Controller) -> str:
        return owners.holder(host, controller, self._rivals(owners.machine(controller)))

    def claims(self) -> dict[str, Claim]:
        """Every claim of the boot store, of all stacks, by host. Raises NeedsAttention if one cannot be read."""
        paths = [path for path in self._objects.below(f"{HOSTS}/") if path.endswith(".json")]
        found = {unquote(Path(path).stem): self._claim(path)[0] for path in paths}
        return {host: claim for host, claim in found.items() if claim is not None}

    def initialised_by(self) -> str | None:
        return self._text_in(self._own("initialised.json"), "node")

    def record_initialised(self, node: str) -> bool:
        return self._record_once("initialised.json", node)

    def initialising_by(self) -> str | None:
        return self._text_in(self._own("initialising.json"), "node")

    def record_initialising(self, node: str) -> bool:
        return self._record_once("initialising.json", node)

    def forget_initialising(self, node: str) -> None:
        path = self._own("initialising.json")
        stored = self._objects.read(path)
        if stored is not None and self._text(path, stored, "node") == node:
            self._objects.remove(path, stored.version)  # unless it is another node's by now

    def _record_once(self, name: str, node: str) -> bool:
        path = self._own(name)
        data = _json({"node": node, "at_s": round(self._clock.now_s(), 3)})
        for attempt in range(TRIES):
            self._pause(attempt)
            before = self._text_in(path, "node")
            if before is not None:
                return before == node
            if self._objects.write(path, data, None):
                return True
        raise self._contended(path)

    def _rivals(self, mark: str) -> dict[str, Claim]:
        """Every claim that may hold the machine of this mark, by host. Whoever takes it is filed first, so no other
        than the last one can."""
        last = self._text_in(_of_machine(mark), "host")
        if last is None:
            return self.claims()
        claim = self.claim(last)
        return {} if claim is None else {last: claim}

    def _reserve(self, host: str, new: Claim, mark: str) -> bool:
        """File the machine of `new`, by one of its marks, for `host`. False if another host or step interfered.
        Raises MachineClaimed."""
        path = _of_machine(mark)
        filed = self._objects.read(path)
        last = None if filed is None else self._text(path, filed, "host")
        if last is None:
            owners.refuse_second(host, new, self.claims())
        elif last != host:
            claim, version = self._claim(_of_host(last))
            owners.refuse_second(host, new, {} if claim is None else {last: claim})
            if not self._replace(_of_host(last), claim, version, fence=True):
                return False
        return self._objects.write(path, as_filed(host, _nonce()), None if filed is None else filed.version)

    def _replace(self, path: str, claim: Claim | None, version: str | None, *, fence: bool = False) -> bool:
        """Write a claim, or take it away, if its record is the version that was read. fence: write it even where it
        is none, so that whoever read it before cannot write."""
        if claim is None and not fence:
            return version is None or self._objects.remove(path, version)
        return self._objects.write(path, as_stored(claim, _nonce() if fence else ""), version)

    def _claim(self, path: str) -> tuple[Claim | None, str | None]:
        """The claim in a record and the record's version; None for each that there is not."""
        stored = self._objects.read(path)
        if stored is None:
            return None, None
        found = self._parsed(path, stored)
        try:
            fields = found["claim"]
            if fields is None:
                return None, stored.version
            fields = dict(fields)
            fields["controller"] = Controller(**fields["controller"])
            fields["state"], fields["role"] = ClaimState(fields["state"]), Role(fields["role"])
            if fields.get("erase") is not None:
                fields["erase"] = _erasure(dict(fields["erase"]))
            return Claim(**fields), stored.version
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(path, f"a claim that does not fit: {type(error).__name__}: {error}") from error

    def _text_in(self, path: str, field: str) -> str | None:
        stored = self._objects.read(path)
        return None if stored is None else self._text(path, stored, field)

    def _text(self, path: str, stored: Stored, field: str) -> str:
        text = self._parsed(path, stored).get(field)
        if not isinstance(text, str) or not text:
            raise self._unreadable(path, f"a record without `{field}`")
        return text

    def _parsed(self, path: str, stored: Stored) -> dict[str, Any]:
        try:
            found = json.loads(stored.data.decode("utf-8"))
        except ValueError as error:
            raise self._unreadable(path, "text that is not JSON") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise self._unreadable(
                path, f"format {found.get('format') if isinstance(found, dict) else None!r}, not {FORMAT}"
            )
        return found

    def _own(self, name: str) -> str:
        return f"{STACKS}/{safe_name(self._stack)}/{name}"

    def _pause(self, attempt: int) -> None:
        if attempt:
            self._clock.sleep(random.uniform(0, PAUSE_S * 2 ** (attempt - 1)))

    def _contended(self, path: str) -> PortError:
        return PortError(
            f"record {self._objects.where(path)}",
            f"it changed by somebody else at each of {TRIES} tries",
            "make sure that only one `pulumi up` runs, then run it again",
        )

    def _unreadable(self, path: str, found: str) -> NeedsAttention:
        return NeedsAttention(
            f"record {self._objects.where(path)}",
            found,
            "restore it from a backup of the boot store (and remove `machines` beside `hosts`: it is written "
            "anew), or update this checkout; "
            "never delete it while a machine may be in use",
        )


class DirectoryRecords(StoredRecords):
    """The same in a directory, asked for on first use; that may raise NeedsAttention."""

    def __init__(self, directory: Callable[[], Path], stack: str, clock: Clock) -> None:
        super().__init__(lambda: DirectoryObjects(directory(), clock), stack, clock)


def as_stored(claim: Claim | None, nonce: str = "") -> bytes:
    """The bytes of a claim's record. nonce: makes them others than all before."""
    return _json({"claim": None if claim is None else dataclasses.asdict(claim), **_with(nonce)})


def _erasure(fields: dict[str, Any]) -> Erasure:
    fields["data_disks"] = tuple(fields["data_disks"])
    fields["boot"] = tuple(BootMethod(method) for method in fields["boot"])
    return Erasure(**fields)


def machine_file(controller: Controller) -> str:
    """The name of the record that says which host took a machine last."""
    return _machine_file(owners.machine(controller))


def as_filed(host: str, nonce: str = "") -> bytes:
    """The bytes of that record."""
    return _json({"host": host, **_with(nonce)})


def _with(nonce: str) -> dict[str, str]:
    return {"nonce": nonce} if nonce else {}


def _nonce() -> str:
    return secrets.token_hex(8)


def _of_host(host: str) -> str:
    return f"{HOSTS}/{safe_name(host)}.json"


def _of_machine(mark: str) -> str:
    return f"{MACHINES}/{_machine_file(mark)}"


def _machine_file(mark: str) -> str:
    return f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.json"


def _json(found: dict[str, Any]) -> bytes:
    return (json.dumps({"format": FORMAT, **found}, indent=2, sort_keys=True) + "\n").encode()

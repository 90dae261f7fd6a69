"""Hosts of a stack file from what a site has already: a table of its servers, or what their controllers list. Pure.

A problem says where it is and what is expected, and never what was found: inventories hold passwords, and a shifted
column puts one anywhere.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from components.fields import LABEL, Label
from components.machines.bare_metal import Host
from lifecycle.hosts import Inspection, stable_id

REQUIRED: Final = ("name", "bmc_url", "mac", "os_disk", "fault_domain")
OPTIONAL: Final = ("data_disks", "boot", "verify_tls")
"""Of a CSV file. Several disks or ways to boot are parted by spaces."""
YES_NO: Final = {"": True, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NAME: TypeAdapter[str] = TypeAdapter(Label)
_COLUMN: Final[Mapping[str, str]] = {"bmc": "bmc_url"}


@dataclass(frozen=True)
class Inventory:
    """hosts: by name, as they stand in a stack file. problems: a line each. notes: by host, what else is known of it,
    for whoever completes it."""

    hosts: Mapping[str, Mapping[str, Any]]
    problems: tuple[str, ...]
    notes: Mapping[str, tuple[str, ...]]

    def text(self) -> str:
        """The block for `machines.hosts` of a pool."""
        lines = ["hosts:"]
        for name, host in self.hosts.items():
            body = yaml.safe_dump({name: dict(host)}, sort_keys=False, default_flow_style=None, width=1000)
            lines += [f"  {line}" for line in body.splitlines()]
            lines += [f"    # {note}" for note in self.notes.get(name, ())]
        return "\n".join(lines) + "\n"


def from_csv(text: str) -> Inventory:
    """The hosts of a CSV file whose first line names its columns (REQUIRED, OPTIONAL), and every problem in it."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), restkey="", strict=True)
    try:
        heads = [head.strip().lower() for head in rows.fieldnames or ()]
        rows.fieldnames = heads
        problems = list(_head_problems(heads))
        read = [] if problems else [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        return Inventory({}, (f"line {rows.line_num}: expected CSV, found {error}",), {})
    hosts: dict[str, Mapping[str, Any]] = {}
    for number, row in read:
        where = f"line {number}"
        if "" in row:
            problems.append(f"{where}: expected {len(heads)} cells, found more. Quote cells that hold a comma")
            continue
        name, host, wrong = _host({key: (cell or "").strip() for key, cell in row.items()})
        problems += [f"{where}, {what}" for what in wrong]
        if name in hosts:
            problems.append(f"{where}, name: expected each name once, found it a second time")
        hosts.setdefault(name, host)
    if not problems and not hosts:
        problems.append("expected a line for each host, found none")
    return Inventory(hosts, (*problems, *_twice(hosts)), {})


def from_scan(found: Sequence[tuple[str, Inspection]], fault_domain: str = "") -> Inventory:
    """The hosts behind controllers, as far as these tell. found: a system's URL and what it tells. What a person has
    to decide is a problem, with what there is to choose from beside it."""
    hosts: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    notes: dict[str, tuple[str, ...]] = {}
    for url, told in found:
        name = _fresh_name(told.name, url, hosts)
        disks = [stable_id(drive) or f"{drive.name}, serial number {drive.serial}" for drive in told.drives or ()]
        sizes = [f"{drive.gib:.0f} GiB" for drive in told.drives or ()]
        host: dict[str, Any] = {"bmc": {"url": url}}
        if len(told.macs or ()) == 1:
            host["mac"] = (told.macs or ("",))[0]
        else:
            problems.append(f"{name}, mac: expected the port that boots. Choose one of those listed with it")
        if len(disks) == 1 and disks[0].startswith("/"):
            host["os_disk"] = disks[0]
        else:
            problems.append(f"{name}, os_disk: expected the disk to install on. Choose one of those listed with it")
        if fault_domain:
            host["fault_domain"] = fault_domain
        else:
            problems.append(
                f"{name}, fault_domain: expected what fails together with it. Add it, or say --fault-domain"
            )
        hosts[name] = host
        notes[name] = (
            " ".join(p for p in (told.model, told.serial and f"serial number {told.serial}") if p) or "model not told",
            f"ports: {', '.join(told.macs or ()) or 'none listed'}",
            *(f"disk: {disk} ({size})" for disk, size in zip(disks, sizes, strict=True)),
        )
    return Inventory(hosts, (*problems, *_twice(hosts)), notes)


def _head_problems(heads: Sequence[str]) -> Iterator[str]:
    if missing := [column for column in REQUIRED if column not in heads]:
        yield f"line 1: expected the columns {', '.join(REQUIRED)}, found none called {', '.join(missing)}"
    if unknown := sum(head not in (*REQUIRED, *OPTIONAL) for head in heads):
        yield (
            f"line 1: expected no columns but {', '.join((*REQUIRED, *OPTIONAL))}, found {unknown} more. Take them "
            "out; credentials belong into INGOT_CREDENTIALS_FILE (docs/bare-metal.md)"
        )
    if len(set(heads)) < len(heads):
        yield "line 1: expected each column once, found one twice"


def _host(row: Mapping[str, str]) -> tuple[str, Mapping[str, Any], list[str]]:
    """A row's name, its host as it stands in a stack file, and what is wrong with it."""
    wrong: list[str] = []
    host: dict[str, Any] = {"bmc": {"url": row["bmc_url"]}, "mac": row["mac"]}
    if boot := row.get("boot", "").split():
        host["boot"] = boot
    host["os_disk"] = row["os_disk"]
    if disks := row.get("data_disks", "").split():
        host["data_disks"] = disks
    host["fault_domain"] = row["fault_domain"]
    verify = YES_NO.get(row.get("verify_tls", "").lower())
    if verify is None:
        wrong.append("verify_tls: expected true or false")
    elif not verify:
        host["bmc"]["verify_tls"] = False
    try:
        _NAME.validate_python(row["name"])
    except ValidationError as error:
        wrong += _told(error, "name")
    try:
        made = Host.model_validate(host)
        host["bmc"]["url"], host["mac"] = made.bmc.url, made.mac  # in their one form
    except ValidationError as error:
        wrong += _told(error)
    return row["name"], host, wrong


def _told(error: ValidationError, column: str = "") -> Iterator[str]:
    """A line for each column that is wrong, without the value."""
    # Of a list with a wrong item, pydantic first says that it is too short without it.
    last = {one["loc"][:1]: one for one in error.errors(include_input=False, include_url=False)}
    for one in last.values():
        context = one.get("ctx", {})
        key = str(one["loc"][0]) if one["loc"] else ""
        expected = context.get("expected") or one["msg"][0].lower() + one["msg"][1:]
        fix = context.get("fix", "")
        yield f"{column or _COLUMN.get(key, key)}: expected {expected}" + (f". Fix: {fix}" if fix else "")


def _twice(hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What two hosts cannot share: one controller, one port."""
    first: dict[tuple[str, str], str] = {}
    for name, host in hosts.items():
        for what, value in (("bmc_url", host["bmc"]["url"]), ("mac", host.get("mac", ""))):
            if value and first.setdefault((what, value), name) != name:
                yield f"{name}, {what}: expected one of the host's own, found that of {first[what, value]}"


def _fresh_name(hostname: str, url: str, hosts: Mapping[str, Any]) -> str:
    """The host's own name if it can be a node's, else one made of its controller's address."""
    own = hostname.partition(".")[0].lower()
    if re.fullmatch(LABEL, own) and own not in hosts:
        return own
    authority, _, path = url.removeprefix("https://").removeprefix("http://").partition("/")
    made = re.sub(r"[^a-z0-9]+", "-", f"{authority}-{path.rsplit('/', 1)[-1]}".lower()).strip("-")
    return made[:63].strip("-")

"""The rules of the Ignition 3.4.0 specification that go beyond the types of its fields.

They read the document as the wire has it and take nothing for granted, so that one pass names every
fault also of a document whose types are wrong (those are the models' to name: components/boot/ignition.py).
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.boot.ignition_values import source_fault, unit_fault

MODE_MAX: Final = 0o777
"""Ignition 3.4 drops setuid, setgid and sticky bits without a word, so they are refused here."""
LABEL_MAX: Final = 36
"""Bytes of a GPT partition's label."""
HASH: Final = re.compile(r"sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128}")
FILESYSTEM_LABEL_MAX: Final = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11}
"""Bytes of a filesystem's label, by format: what the program that makes it takes."""
FILESYSTEM_FACTS: Final = ("path", "label", "uuid", "wipeFilesystem", "options")
"""What says nothing of a filesystem that is not made."""
UNITS: Final = "/etc/systemd/system"
"""Where Ignition writes units."""
UNIT: Final = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\.(service|socket|device|mount|automount|swap|target|path|timer|snapshot|slice|scope)"
)
GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

Json = Mapping[str, Any]
Item = tuple[str, Json]


def faults(document: Any) -> tuple[str, ...]:
    """Every rule that `document` breaks, one line each: where, what was expected, what was found."""
    root = document if isinstance(document, Mapping) else {}
    return tuple(
        fault
        for rule in (
            _version,
            _nodes,
            _hard_links,
            _contents,
            _disks,
            _filesystems,
            _units,
            _accounts,
            _kernel_arguments,
        )
        for fault in rule(root)
    )


def _version(root: Json) -> Iterator[str]:
    version = _child(root, "ignition").get("version")
    if version != "3.4.0":
        yield f"ignition.version: expected 3.4.0, found {version!r}"


# ---------------------------------------------------------------- files, directories, links


def _nodes(root: Json) -> Iterator[str]:
    storage = _child(root, "storage")
    where = dict(_units_on_disk(root))
    no_directory: dict[str, str] = {}
    for kind in ("files", "directories", "links"):
        for at, node in _items(storage, kind, "storage"):
            yield from _node(at, node, kind)
            if (path := _text(node, "path")) is None:
                continue
            if path in where:
                yield f"{at}.path: expected a path of its own, found that of {where[path]}: {path}"
            where.setdefault(path, at)
            if kind != "directories":
                no_directory[path] = at
    for path, at in where.items():
        for parent in _parents(path):
            if parent in no_directory:
                yield f"{at}.path: expected its parents to be directories, found {no_directory[parent]} at {parent}"


def _units_on_disk(root: Json) -> Iterator[tuple[str, str]]:
    """The path of every unit and drop-in that Ignition writes, and where the configuration has it."""
    for at, unit in _items(_child(root, "systemd"), "units", "systemd"):
        name = _text(unit, "name")
        if _text(unit, "contents"):
            yield f"{UNITS}/{name}", at
        for deeper, dropin in _items(unit, "dropins", at):
            if _text(dropin, "contents"):
                yield f"{UNITS}/{name}.d/{_text(dropin, 'name')}", deeper


def _hard_links(root: Json) -> Iterator[str]:
    storage = _child(root, "storage")
    directories = {_text(node, "path") for _, node in _items(storage, "directories", "storage")}
    for at, link in _items(storage, "links", "storage"):
        path, target = _text(link, "path"), _text(link, "target")
        if (
            link.get("hard") is True
            and path
            and target
            and posixpath.normpath(posixpath.join(path, target)) in directories
        ):
            yield f"{at}.target: expected no directory to be linked hard, found {target}"


def _node(at: str, node: Json, kind: str) -> Iterator[str]:
    path, mode = _text(node, "path"), node.get("mode")
    if path is not None:
        yield from _clean_path(f"{at}.path", path)
    if isinstance(mode, int) and not 0 <= mode <= MODE_MAX:
        yield f"{at}.mode: expected 0 to {MODE_MAX} (0777, no setuid, setgid or sticky), found {mode}"
    for key in ("user", "group"):
        owner = _child(node, key)
        if owner.get("id") is not None and owner.get("name") is not None:
            yield f"{at}.{key}: expected an id or a name, found both"
    if kind == "files" and node.get("overwrite") is True and not _text(_child(node, "contents"), "source"):
        yield f"{at}.overwrite: expected contents.source with it, found none"
    if kind == "links" and _text(node, "target") == "":
        yield f"{at}.target: expected a target, found none"


def _clean_path(at: str, path: str) -> Iterator[str]:
    if not path.startswith("/") or path.startswith("//") or posixpath.normpath(path) != path:
        yield f"{at}: expected an absolute path without //, . and .. or a slash at its end, found {path!r}"
    elif path == "/" or "\0" in path:
        yield f"{at}: expected a path below /, found {path!r}"


def _parents(path: str) -> Iterator[str]:
    end = path.rfind("/")
    while end > 0:
        path = path[:end]
        yield path
        end = path.rfind("/")


# ---------------------------------------------------------------- contents


def _contents(root: Json) -> Iterator[str]:
    config = _child(_child(root, "ignition"), "config")
    yield from _resource("ignition.config.replace", _child(config, "replace"))
    sources: set[str] = set()
    for at, resource in _items(config, "merge", "ignition.config"):
        yield from _resource(at, resource)
        source = _text(resource, "source")
        if not source:
            yield f"{at}.source: expected where to find it, found nothing"
        yield from _once(f"{at}.source", source, sources)
    for at, file in _items(_child(root, "storage"), "files", "storage"):
        yield from _resource(f"{at}.contents", _child(file, "contents"))
        for deeper, resource in _items(file, "append", at):
            yield from _resource(deeper, resource)


def _resource(at: str, resource: Json) -> Iterator[str]:
    source, compression = _text(resource, "source"), _text(resource, "compression")
    if source and (fault := source_fault(source)):
        yield f"{at}.source: {fault}"
    if compression not in (None, "", "gzip"):
        yield f"{at}.compression: expected gzip or nothing, found {compression!r}"
    if compression and source and source.startswith(("s3:", "arn:")):
        yield f"{at}.compression: expected none with S3, found {compression!r}"
    digest = _text(_child(resource, "verification"), "hash")
    if digest is not None and not HASH.fullmatch(digest):
        yield f"{at}.verification.hash: expected sha256- or sha512- and its hexadecimal digits, found {digest[:80]!r}"
    if digest is not None and source is None:
        yield f"{at}.verification.hash: expected a source with it, found none"


# ---------------------------------------------------------------- disks and filesystems


def _disks(root: Json) -> Iterator[str]:
    seen: set[str] = set()
    for at, disk in _items(_child(root, "storage"), "disks", "storage"):
        yield from _device(at, disk, seen)
        numbers: set[int] = set()
        labels: set[str] = set()
        partitions = _items(disk, "partitions", at)
        for deeper, partition in partitions:
            yield from _partition(deeper, partition, numbers, labels)
        yield from _overlaps(partitions)
        if any(p.get("shouldExist") is False for _, p in partitions) and any(
            p.get("number", 0) == 0 for _, p in partitions
        ):
            yield f"{at}.partitions: expected numbers where some should not exist, found a partition without one"


def _overlaps(partitions: list[Item]) -> Iterator[str]:
    """Partitions that are placed, and would share a block. A size of 0 is not known before the disk is."""
    placed: list[tuple[int, int, str]] = []
    for at, partition in partitions:
        start, size = partition.get("startMiB"), partition.get("sizeMiB")
        if isinstance(start, int) and isinstance(size, int) and start > 0:
            placed.append((start, start + max(size, 1) - 1, at))
    placed.sort()
    for (_, end, at), (start, _, other) in itertools.pairwise(placed):
        if start <= end:
            yield f"{other}.startMiB: expected a place beyond {at}, which ends at {end} MiB, found {start}"


def _partition(at: str, partition: Json, numbers: set[int], labels: set[str]) -> Iterator[str]:
    number, label = partition.get("number", 0), _text(partition, "label")
    if isinstance(number, int):
        if number < 0 or number in numbers:
            yield f"{at}.number: expected a number of its own, 0 or more, found {number}"
        if number > 0:
            numbers.add(number)
        if number == 0 and not label:
            yield f"{at}: expected a number or a label, found neither"
    if label is not None:
        if _bytes(label) > LABEL_MAX or ":" in label:
            yield f"{at}.label: expected at most {LABEL_MAX} bytes and no colon, found {label[:50]!r}"
        if label in labels:
            yield f"{at}.label: expected a label of its own, found {label!r} again"
        labels.add(label)
    for key in ("guid", "typeGuid"):
        guid = _text(partition, key)
        if guid and not GUID.fullmatch(guid):
            yield f"{at}.{key}: expected a GUID, found {guid[:50]!r}"
    for key in ("sizeMiB", "startMiB"):
        size = partition.get(key)
        if isinstance(size, int) and size < 0:
            yield f"{at}.{key}: expected 0 or more, found {size}"
    if partition.get("shouldExist") is False and set(partition) & {"label", "sizeMiB", "startMiB", "guid", "typeGuid"}:
        yield f"{at}.shouldExist: expected no other facts of a partition that should not exist, found some"


def _filesystems(root: Json) -> Iterator[str]:
    seen: set[str] = set()
    paths: set[str] = set()
    for at, filesystem in _items(_child(root, "storage"), "filesystems", "storage"):
        yield from _device(at, filesystem, seen)
        path = _text(filesystem, "path")
        if path:
            yield from _clean_path(f"{at}.path", path)
            if path in paths:
                yield f"{at}.path: expected a path of its own, found {path!r} again"
            paths.add(path)
        made = _text(filesystem, "format")
        if made in (None, "none") and filesystem.get("mountOptions"):
            yield f"{at}.mountOptions: expected a format with them, found none"
        if not made and (extra := sorted(key for key in FILESYSTEM_FACTS if filesystem.get(key))):
            yield f"{at}.format: expected a format with {', '.join(extra)}, found none"
        label, label_max = _text(filesystem, "label"), FILESYSTEM_LABEL_MAX.get(made or "")
        if label and label_max and _bytes(label) > label_max:
            yield f"{at}.label: expected at most {label_max} bytes for {made}, found {label[:50]!r}"


def _device(at: str, thing: Json, seen: set[str]) -> Iterator[str]:
    device = _text(thing, "device")
    if device is None:
        return
    yield from _clean_path(f"{at}.device", device)
    if device in seen:
        yield f"{at}.device: expected each device once, found {device!r} again"
    seen.add(device)


# ---------------------------------------------------------------- systemd, accounts, kernel


def _units(root: Json) -> Iterator[str]:
    seen: set[str] = set()
    for at, unit in _items(_child(root, "systemd"), "units", "systemd"):
        name, contents = _text(unit, "name"), _text(unit, "contents")
        yield from _once(f"{at}.name", name, seen)
        if name is not None and not UNIT.fullmatch(name):
            yield f"{at}.name: expected a unit's name with its type, such as a.service, found {name[:60]!r}"
        if unit.get("enabled") is True and contents and "[Install]" not in contents.splitlines():
            yield f"{at}.enabled: expected an [Install] section, found none, so it would not be enabled"
        if contents and (fault := unit_fault(contents)):
            yield f"{at}.contents: {fault}"
        dropins: set[str] = set()
        for deeper, dropin in _items(unit, "dropins", at):
            dropin_name = _text(dropin, "name")
            yield from _once(f"{deeper}.name", dropin_name, dropins)
            if dropin_name is not None and (not dropin_name.endswith(".conf") or "/" in dropin_name):
                yield f"{deeper}.name: expected a file name that ends in .conf, found {dropin_name[:60]!r}"
            if (inside := _text(dropin, "contents")) and (fault := unit_fault(inside)):
                yield f"{deeper}.contents: {fault}"


def _accounts(root: Json) -> Iterator[str]:
    for kind in ("users", "groups"):
        seen: set[str] = set()
        for at, account in _items(_child(root, "passwd"), kind, "passwd"):
            name = _text(account, "name")
            yield from _once(f"{at}.name", name, seen)
            if name == "":
                yield f"{at}.name: expected a name, found none"
            for key in ("sshAuthorizedKeys", "groups"):
                for twice in _twice(account, key):
                    yield f"{at}.{key}: expected each once, found {twice[:60]!r} twice"


def _kernel_arguments(root: Json) -> Iterator[str]:
    arguments = _child(root, "kernelArguments")
    for key in ("shouldExist", "shouldNotExist"):
        for argument in _twice(arguments, key):
            yield f"kernelArguments.{key}: expected each argument once, found {argument!r} twice"
    for argument in sorted(set(_texts(arguments, "shouldExist")) & set(_texts(arguments, "shouldNotExist"))):
        yield f"kernelArguments: expected {argument!r} to exist or not to exist, found both"


# ---------------------------------------------------------------- taking junk apart


def _child(parent: Json, key: str) -> Json:
    found = parent.get(key)
    return found if isinstance(found, Mapping) else {}


def _items(parent: Json, key: str, at: str) -> list[Item]:
    found = parent.get(key)
    if not isinstance(found, list | tuple):
        return []
    return [(f"{at}.{key}.{i}", item) for i, item in enumerate(found) if isinstance(item, Mapping)]


def _text(parent: Json, key: str) -> str | None:
    found = parent.get(key)
    return found if isinstance(found, str) else None


def _texts(parent: Json, key: str) -> list[str]:
    found = parent.get(key)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list | tuple) else []


def _twice(parent: Json, key: str) -> list[str]:
    listed = _texts(parent, key)
    return sorted({item for item in listed if listed.count(item) > 1})


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _once(at: str, name: str | None, seen: set[str]) -> Iterator[str]:
    if name is not None and name in seen:
        yield f"{at}: expected each name once, found {name[:60]!r} again"
    if name is not None:
        seen.add(name)

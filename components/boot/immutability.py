"""What a boot configuration may write, run and fetch, so that a system is only ever what its image is.

Each operating system names its read-only root and the paths beside it that may be written (`Root`). What is
published for a node is held against that, and every line that would run on it against three rules: nothing is
installed or updated in place, nothing is fetched whose content is not pinned, and nothing makes the root
writable. It is a check of our own configurations, not a sandbox: it reads commands as they are written.

The exceptions are the boot store's locations of a node, which hold what is made for it at step time, and a
signature, whose content is checked by what it signs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from components.boot.ignition import Ignition, IgnitionError, Resource, inlined, parse

IGNITION: Final = ".ign"
"""How the name of an Ignition configuration ends, in the boot store and on a machine."""
CONFIGURATION: Final = "configuration"
"""What contract.covered calls the installed system's."""
FOUND_MAX: Final = 80
"""Characters shown of a refused line."""

PACKAGES: Final = (
    "apt",
    "apt-get",
    "aptitude",
    "apk",
    "dnf",
    "dnf5",
    "dpkg",
    "emerge",
    "flatcar-update",
    "flatpak",
    "microdnf",
    "pacman",
    "pip",
    "pip3",
    "rpm",
    "snap",
    "systemd-sysupdate",
    "tdnf",
    "update_engine_client",
    "yum",
    "zypper",
)
"""Programs that change what is installed, whatever they are told."""
SUBCOMMANDS: Final = {
    "rpm-ostree": "apply-live cleanup deploy ex initramfs initramfs-etc install kargs override rebase reload remove "
    "reset rollback uninstall update upgrade usroverlay",
    "ostree": "admin pull pull-local checkout deploy",
    "bootc": "edit install rollback switch update upgrade usr-overlay usroverlay",
}
"""Programs that also only tell: what they may not be told."""
FETCHERS: Final = ("aria2c", "curl", "ftp", "rsync", "scp", "sftp", "wget")
STORE: Final = (
    "$INGOT_STORE/once/$INGOT_NODE",
    "$INGOT_STORE/progress/$INGOT_NODE",
    "$INGOT_STORE/once/$INGOT_ROLE/$INGOT_NODE",
    "$INGOT_STORE/progress/$INGOT_ROLE/$INGOT_NODE",
)
"""All that a machine may ask for by itself: its credentials, which are made for it, and where it reports."""
METADATA: Final = "http://169.254.169.254/latest/"
"""Of EC2, and of no other machine: no route leads there. Without TLS; what it says is of the machine itself."""
UPDATERS: Final = (
    "locksmithd.service",
    "rpm-ostreed-automatic.timer",
    "systemd-sysupdate-reboot.timer",
    "systemd-sysupdate.timer",
    "update-engine.service",
    "zincati.service",
)

# A program's name where a command can begin: at the start, or after what separates commands, quotes or assigns
# one; with or without its folder.
_START: Final = r"(?:^|[\s;|&(){}`\"'=!@+:\[,])-?"
_FOLDER: Final = r"(?:/(?!/)[\w./-]*/)"
_BEFORE: Final = rf"{_START}{_FOLDER}?"
_AFTER: Final = r"(?=$|[\s;|&)}`\"',\]])"
_NAMES: Final = f"(?:{'|'.join(map(re.escape, PACKAGES))})"
# By a bare name only where something is asked of it: a cluster may be called snap.
_PACKAGES: Final = re.compile(rf"{_START}(?:{_NAMES}\s+\S|{_FOLDER}{_NAMES}(?:\s+\S|{_AFTER}))")
_SUBCOMMANDS: Final = re.compile(
    "|".join(
        rf"{_BEFORE}{re.escape(program)}(?:\s+-\S+)*\s+(?:{'|'.join(told.split())}){_AFTER}"
        for program, told in SUBCOMMANDS.items()
    )
)
_FETCHERS: Final = re.compile(rf"{_BEFORE}(?:{'|'.join(FETCHERS)})\s+\S")
_CLONES: Final = re.compile(rf"{_BEFORE}git(?:\s+-\S+)*\s+(?:clone|fetch|pull){_AFTER}")
_IMAGES: Final = re.compile(
    rf"{_BEFORE}(?:podman|docker|nerdctl|ctr|crictl|skopeo)\s.*\b(?:pull|run|create|copy){_AFTER}"
)
_QUADLET: Final = re.compile(r"^\s*Image\s*=\s*\S+(?<!\.image)(?<!\.build)\s*$")
"""Of a container that systemd runs through Podman (podman-systemd.unit(5)); another unit's name is no image."""
_INSTALLS: Final = re.compile(rf"{_BEFORE}(?:flatcar-install|coreos-installer\s+(?:install|download)){_AFTER}")
_REMOUNTS: Final = re.compile(rf"{_BEFORE}(?:remount-rw|mount\b(?=.*\bremount\b)(?=.*\brw\b)|chattr\b.*\s-i\b)")
_SHELL: Final = r"(?:sudo\s+)?(?:/[\w./-]*/)?(?:ba|da|z|k)?sh\b"
_PIPED: Final = re.compile(rf"\|\s*{_SHELL}|(?:{_SHELL}|\beval\b|\bsource\b).*(?:\$\(|<\(|`)")
_ASKED: Final = re.compile(r"\b(?:command -v|type -P|which)\s+[\w./-]+")
"""Where a program is, not the program."""
_COMMENT: Final = re.compile(r"^\s*[#;]")
_CONTINUED: Final = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Root:
    """An operating system's file system, as far as a boot configuration may touch it.

    os: as the stack file names it. read_only: what cannot be written, and why, in words. writable: the
    folders that a configuration may write below. links: folders of the image that lead elsewhere.
    """

    os: str
    read_only: str
    writable: tuple[str, ...]
    links: Mapping[str, str]

    def leads_to(self, path: str) -> str:
        """Where a path leads once the image's own links are followed."""
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                return target + path.removeprefix(link)
        return path

    def problem(self, at: str, path: str) -> str | None:
        """Why nothing may be put at a path, or None if it may. at: where the configuration says it."""
        led = self.leads_to(posixpath.normpath(path))
        if any(led.startswith(f"{folder}/") for folder in self.writable):
            return None
        found = path if led == path else f"{path}, which leads to {led}"
        return f"{at}: expected a path below {', '.join(self.writable)} ({self.read_only}), found {found}"


def text_problems(at: str, text: str) -> Iterator[str]:
    """Every command of a script or a unit that changes the system in place, or fetches what is not pinned.

    at: where the configuration has it. Comments are skipped, continued lines are read as one.
    """
    for line in _CONTINUED.sub(" ", text).splitlines():
        if _COMMENT.match(line):
            continue
        for rule in _broken(_ASKED.sub("", line)):
            yield f"{at}: expected {rule}, found {ascii(line.strip())[1:-1][:FOUND_MAX]}"


def problems(root: Root, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Everything in what is published for a node, or configures it, that the image's immutability forbids.

    files: by name, as contract.covered gives them; Ignition configurations are read as such, whatever else as text.
    """
    found: list[str] = []
    for name, data in files.items():
        if name == CONFIGURATION or name.endswith(IGNITION):
            found += _ignition(root, name, data)
        else:
            found += text_problems(name, data.decode("utf-8", "replace"))
    return tuple(dict.fromkeys(found))


def _broken(line: str) -> Iterator[str]:
    if _PACKAGES.search(line) or _SUBCOMMANDS.search(line):
        yield "no package manager and no update in place"
    if _REMOUNTS.search(line):
        yield "the root to stay read-only"
    fetches = _FETCHERS.search(line)
    if fetches and not _from_the_store(line):
        yield f"no download but from {' and '.join(STORE)}"
    if fetches and _PIPED.search(line):
        yield "no download to be run as it comes"
    if _CLONES.search(line):
        yield "no download whose content is not pinned"
    if (_IMAGES.search(line) or _QUADLET.search(line)) and "@sha256:" not in line:
        yield "a container image by its digest"
    if _INSTALLS.search(line) and not re.search(r"\s(?:-f|--image-file)\s", line):
        yield "the installation of an image that was verified"


def _from_the_store(line: str) -> bool:
    """Whether all that a line fetches is of the node's own locations, over TLS, or of EC2's metadata."""
    rest = line
    for location in STORE:
        rest = rest.replace(location, "")
    if rest == line:
        rest = line.replace(METADATA, "", 1)
        return rest != line and len(_FETCHERS.findall(line)) == 1 and "://" not in rest and "$INGOT_STORE" not in rest
    return len(_FETCHERS.findall(line)) == 1 and "://" not in rest and "=https" in rest


# ---------------------------------------------------------------- Ignition


def _ignition(root: Root, name: str, data: bytes) -> Iterator[str]:
    try:
        made = parse(data)
    except IgnitionError as error:
        yield from (f"{name}: {fault}" for fault in error.faults)
        return
    yield from _paths(root, name, made)
    yield from _resources(name, made)
    yield from _units(name, made)
    for index, file in enumerate(made.storage.files):
        contents = inlined(file.contents)
        if contents is None:
            continue
        at = f"{name}: storage.files.{index} ({file.path})"
        if file.path.endswith(IGNITION):
            yield from _ignition(root, at, contents)
        else:
            yield from text_problems(at, contents.decode("utf-8", "replace"))


def _paths(root: Root, name: str, made: Ignition) -> Iterator[str]:
    storage = made.storage
    placed = (
        *((f"storage.files.{i}.path", n.path) for i, n in enumerate(storage.files)),
        *((f"storage.directories.{i}.path", n.path) for i, n in enumerate(storage.directories)),
        *((f"storage.links.{i}.path", n.path) for i, n in enumerate(storage.links)),
        *((f"storage.filesystems.{i}.path", f.path) for i, f in enumerate(storage.filesystems) if f.path),
    )
    for at, path in placed:
        if problem := root.problem(f"{name}: {at}", path):
            yield problem


def _resources(name: str, made: Ignition) -> Iterator[str]:
    verified = {f.path for f in made.storage.files if f.contents and _digest(f.contents)}
    for index, file in enumerate(made.storage.files):
        at = f"{name}: storage.files.{index}"
        if file.contents is not None:
            signs = file.path.removesuffix(".sig") in verified - {file.path}
            yield from _resource(f"{at}.contents ({file.path})", file.contents, signs=signs)
        for number, added in enumerate(file.append):
            yield from _resource(f"{at}.append.{number} ({file.path})", added)
    others = made.ignition.config
    if others and others.replace:
        yield from _resource(f"{name}: ignition.config.replace", others.replace)
    for index, other in enumerate(others.merge if others else ()):
        yield from _resource(f"{name}: ignition.config.merge.{index}", other)


def _resource(at: str, resource: Resource, *, signs: bool = False) -> Iterator[str]:
    source = resource.source or ""
    scheme = source.partition(":")[0].lower()
    if not source or scheme == "data":
        return
    if scheme not in ("https", "s3", "arn"):
        yield f"{at}: expected https, s3 or arn, which nobody on the way can change, found {source[:FOUND_MAX]}"
    if not signs and not _digest(resource):
        yield f"{at}: expected verification.hash beside what is fetched, found none: {source[:FOUND_MAX]}"


def _digest(resource: Resource) -> str | None:
    return resource.verification.hash if resource.verification else None


def _units(name: str, made: Ignition) -> Iterator[str]:
    for index, unit in enumerate(made.systemd.units):
        at = f"{name}: systemd.units.{index} ({unit.name})"
        if unit.enabled and unit.name in UPDATERS:
            yield f"{at}: expected what updates the system in place to stay off, found it enabled"
        yield from text_problems(at, unit.contents or "")
        for dropin in unit.dropins:
            yield from text_problems(f"{at} {dropin.name}", dropin.contents or "")

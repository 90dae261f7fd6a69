"""components/boot/ignition.py: no value of type Ignition breaks the specification."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.boot.ignition import (
    Disk,
    File,
    Ignition,
    IgnitionError,
    KernelArguments,
    Partition,
    Resource,
    Storage,
    Verification,
    fetched,
    inline,
    inlined,
    parse,
    sha256_hash,
)
from tests.components.boot.generated import configurations

VERSION = {"ignition": {"version": "3.4.0"}}
FIXED = settings(derandomize=True, deadline=None, max_examples=20)


def file(**facts: Any) -> dict[str, Any]:
    return {"path": "/etc/a", **facts}


def files(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"files": list(listed)}}


def units(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"systemd": {"units": list(listed)}}


def partitions(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"disks": [{"device": "/dev/x", "partitions": list(listed)}]}}


def filesystems(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"filesystems": list(listed)}}


UNIT = {"name": "a.service", "contents": "[Unit]\n"}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a relative path": (files(file(path="etc/a")), "storage.files.0.path: expected an absolute path"),
    "an unclean path": (files(file(path="/etc/../a")), "storage.files.0.path"),
    "a doubled slash": (files(file(path="//etc/a")), "storage.files.0.path"),
    "a slash at the end": (files(file(path="/etc/a/")), "storage.files.0.path"),
    "the root as a file": (files(file(path="/")), "storage.files.0.path: expected a path below /"),
    "a path twice": (files(file(), file()), "storage.files.1.path: expected a path of its own"),
    "a path twice over kinds": (
        {"storage": {"files": [file()], "links": [{"path": "/etc/a", "target": "/b"}]}},
        "storage.links.0.path: expected a path of its own, found that of storage.files.0",
    ),
    "a file below a file": (files(file(), file(path="/etc/a/b")), "expected its parents to be directories"),
    "a directory below a link": (
        {"storage": {"links": [{"path": "/x", "target": "/y"}], "directories": [{"path": "/x/z"}]}},
        "storage.directories.0.path: expected its parents to be directories, found storage.links.0",
    ),
    "id and name": (files(file(user={"id": 0, "name": "root"})), "storage.files.0.user: expected an id or a name"),
    "overwrite with nothing": (files(file(overwrite=True)), "storage.files.0.overwrite: expected contents.source"),
    "setuid": (files(file(mode=0o4755)), "storage.files.0.mode: expected 0 to 511"),
    "a sticky directory": ({"storage": {"directories": [file(mode=0o1777)]}}, "storage.directories.0.mode"),
    "a negative mode": (files(file(mode=-1)), "storage.files.0.mode"),
    "an empty target": ({"storage": {"links": [{"path": "/x", "target": ""}]}}, "storage.links.0.target"),
    "a scheme nobody fetches": (files(file(contents={"source": "ftp://x/y"})), "contents.source: expected one of"),
    "no scheme": (files(file(append=[{"source": "x"}])), "storage.files.0.append.0.source"),
    "compression of s3": (files(file(contents={"source": "s3://b/k", "compression": "gzip"})), "contents.compression"),
    "a short hash": (files(file(contents={"verification": {"hash": "sha256-ab"}})), "contents.verification.hash"),
    "a hash of another kind": (
        files(file(contents={"verification": {"hash": f"md5-{'a' * 32}"}})),
        "contents.verification.hash",
    ),
    "a partition twice": (partitions({"number": 1}, {"number": 1}), "partitions.1.number"),
    "a nameless partition": (partitions({}), "partitions.0: expected a number or a label"),
    "a long label": (partitions({"number": 1, "label": "x" * 37}), "partitions.0.label"),
    "a colon in a label": (partitions({"number": 1, "label": "a:b"}), "partitions.0.label"),
    "a label twice": (partitions({"label": "a"}, {"label": "a"}), "partitions.1.label"),
    "a GUID that is none": (partitions({"number": 1, "guid": "x"}), "partitions.0.guid"),
    "a negative size": (partitions({"number": 1, "sizeMiB": -1}), "partitions.0.sizeMiB"),
    "facts of a partition to be gone": (
        partitions({"number": 1, "shouldExist": False, "label": "a"}),
        "partitions.0.shouldExist",
    ),
    "a disk twice": ({"storage": {"disks": [{"device": "/dev/x"}] * 2}}, "storage.disks.1.device"),
    "a relative device": ({"storage": {"disks": [{"device": "sda"}]}}, "storage.disks.0.device"),
    "a filesystem twice": (filesystems({"device": "/dev/x"}, {"device": "/dev/x"}), "storage.filesystems.1.device"),
    "a mount point twice": (
        filesystems({"device": "/dev/x", "path": "/a"}, {"device": "/dev/y", "path": "/a"}),
        "filesystems.1.path",
    ),
    "mount options alone": (filesystems({"device": "/dev/x", "mountOptions": ["ro"]}), "mountOptions"),
    "a unit of no type": (units({"name": "a"}), "systemd.units.0.name"),
    "a unit twice": (units({"name": "a.service"}, {"name": "a.service"}), "systemd.units.1.name"),
    "a drop-in of no type": (units({"name": "a.service", "dropins": [{"name": "x"}]}), "dropins.0.name"),
    "a drop-in twice": (units({"name": "a.service", "dropins": [{"name": "x.conf"}] * 2}), "dropins.1.name"),
    "enabled for nothing": (units({"name": "a.service", "enabled": True, "contents": "[Unit]\n"}), "units.0.enabled"),
    "a user twice": ({"passwd": {"users": [{"name": "a"}] * 2}}, "passwd.users.1.name"),
    "a nameless group": ({"passwd": {"groups": [{"name": ""}]}}, "passwd.groups.0.name"),
    "a password": ({"passwd": {"users": [{"name": "a", "passwordHash": "x"}]}}, "passwd.users.0.passwordHash"),
    "an argument wanted and not": (
        {"kernelArguments": {"shouldExist": ["a"], "shouldNotExist": ["a"]}},
        "kernelArguments: expected 'a'",
    ),
    "an argument twice": ({"kernelArguments": {"shouldExist": ["a", "a"]}}, "kernelArguments.shouldExist"),
    "a file where a unit is": (
        {"storage": {"files": [file(path="/etc/systemd/system/a.service")]}, "systemd": {"units": [UNIT]}},
        "storage.files.0.path: expected a path of its own, found that of systemd.units.0",
    ),
    "a link where a drop-in is": (
        {
            "storage": {"links": [{"path": "/etc/systemd/system/a.service.d/x.conf", "target": "/y"}]},
            "systemd": {"units": [{"name": "a.service", "dropins": [{"name": "x.conf", "contents": "[Unit]\n"}]}]},
        },
        "storage.links.0.path",
    ),
    "a hard link to a directory": (
        {"storage": {"directories": [file()], "links": [{"path": "/x", "target": "/etc/./a", "hard": True}]}},
        "storage.links.0.target: expected no directory",
    ),
    "a hash of nothing": (
        files(file(contents={"verification": {"hash": f"sha256-{'a' * 64}"}})),
        "verification.hash: expected a source",
    ),
    "more configuration from nowhere": (
        {"ignition": {"version": "3.4.0", "config": {"merge": [{}]}}},
        "ignition.config.merge.0.source",
    ),
    "the same configuration twice": (
        {"ignition": {"version": "3.4.0", "config": {"merge": [{"source": "https://x.example/y"}] * 2}}},
        "ignition.config.merge.1.source",
    ),
    "partitions that overlap": (
        partitions({"number": 1, "startMiB": 1, "sizeMiB": 4}, {"number": 2, "startMiB": 4, "sizeMiB": 1}),
        "partitions.1.startMiB",
    ),
    "a partition in one that fills the disk": (
        partitions({"number": 1, "startMiB": 4, "sizeMiB": 0}, {"number": 2, "startMiB": 1, "sizeMiB": 9}),
        "startMiB: expected a place beyond",
    ),
    "a partition to be gone beside one without a number": (
        partitions({"number": 1, "shouldExist": False}, {"label": "a"}),
        "disks.0.partitions: expected numbers",
    ),
    "a long label in another script": (partitions({"number": 1, "label": "\u00e4" * 19}), "partitions.0.label"),
    "a filesystem of no format": (filesystems({"device": "/dev/x", "path": "/var/x"}), "filesystems.0.format"),
    "a label that is too long for ext4": (
        filesystems({"device": "/dev/x", "format": "ext4", "label": "x" * 17}),
        "filesystems.0.label: expected at most 16 bytes",
    ),
    "a unit that is none": (units({"name": "a.service", "contents": "x"}), "units.0.contents"),
    "a drop-in that is none": (
        units({"name": "a.service", "dropins": [{"name": "x.conf", "contents": "[Unit]\nx\n"}]}),
        "dropins.0.contents: expected Setting=value",
    ),
    "a key twice": ({"passwd": {"users": [{"name": "a", "sshAuthorizedKeys": ["k", "k"]}]}}, "sshAuthorizedKeys"),
    "a group twice": ({"passwd": {"users": [{"name": "a", "groups": ["g", "g"]}]}}, "users.0.groups"),
    "a number in quotes": (files(file(mode="420")), "storage.files.0.mode"),
    "a number with a point": (files(file(mode=420.0)), "storage.files.0.mode"),
    "1 for true": (files(file(overwrite=1)), "storage.files.0.overwrite"),
    "another version": ({"ignition": {"version": "3.5.0"}}, "ignition.version"),
    "no version": ({"ignition": {}}, "ignition.version"),
    "a number beyond all numbers": ({"passwd": {"users": [{"name": "a", "uid": 10**20}]}}, "passwd.users.0.uid"),
    "a field nobody knows": (files(file(luks=1)), "storage.files.0.luks"),
}


class TestRefuses:
    """Every rule of the specification, by name and place."""

    @pytest.mark.parametrize("case", BROKEN)
    def test_rule(self, case: str) -> None:
        document, found = BROKEN[case]
        with pytest.raises(IgnitionError) as refused:
            parse(json.dumps(VERSION | document).encode())
        assert any(found in fault for fault in refused.value.faults), refused.value.faults

    def test_all_faults_at_once(self) -> None:
        document = VERSION | files(file(mode="rw"), file(), file(path="b", overwrite=True)) | units({"name": "a"})
        with pytest.raises(IgnitionError) as refused:
            parse(json.dumps(document).encode())
        for at in ("files.0.mode", "files.1.path", "files.2.path", "files.2.overwrite", "units.0.name"):
            assert any(at in fault for fault in refused.value.faults), at

    def test_nothing_at_all(self) -> None:
        with pytest.raises(IgnitionError, match=r"ignition\.version: expected 3\.4\.0, found None"):
            parse(b"{}")

    def test_also_when_made_in_python(self) -> None:
        with pytest.raises(IgnitionError, match=r"storage\.files\.0\.path"):
            Ignition(storage=Storage(files=(File(path="etc/a"),)))

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"1", b"[" * 100_000, b"\xff"])
    def test_junk(self, data: bytes) -> None:
        with pytest.raises(IgnitionError):
            parse(data)


class TestBytes:
    """One configuration has one spelling."""

    def test_is_canonical_json(self) -> None:
        made = Ignition(
            storage=Storage(files=(File(path="/etc/a", mode=0o644, contents=inline("x")),)),
            kernel_arguments=KernelArguments(should_exist=("a",)),
        )
        assert made.to_bytes() == (
            b'{"ignition":{"version":"3.4.0"},"kernelArguments":{"shouldExist":["a"]},'
            b'"storage":{"files":[{"contents":{"source":"data:;base64,eA=="},"mode":420,"path":"/etc/a"}]}}'
        )

    def test_of_nothing_still_names_the_version(self) -> None:
        assert Ignition().to_bytes() == b'{"ignition":{"version":"3.4.0"}}'

    def test_spells_sizes_as_the_specification_does(self) -> None:
        made = Ignition(storage=Storage(disks=(Disk(device="/dev/x", partitions=(Partition(number=1, size_mib=8),)),)))
        assert b'"sizeMiB":8' in made.to_bytes()


class TestContents:
    """Inline contents are exact; fetched ones are verified."""

    @FIXED
    @given(st.binary(max_size=200))
    def test_inline_is_exact(self, data: bytes) -> None:
        assert inlined(inline(data)) == data

    @pytest.mark.parametrize(("url", "data"), [("data:,a%20b", b"a b"), ("data:text/plain,x", b"x")])
    def test_reads_plain_data_urls(self, url: str, data: bytes) -> None:
        assert inlined(Resource(source=url)) == data

    @pytest.mark.parametrize("resource", [None, Resource(), Resource(source="https://x.example/y")])
    def test_what_is_not_inline_is_none(self, resource: Resource | None) -> None:
        assert inlined(resource) is None

    @pytest.mark.parametrize("url", ["data:x", "data:;base64,*"])
    def test_refuses_broken_data_urls(self, url: str) -> None:
        with pytest.raises(ValueError, match="data URL"):
            inlined(Resource(source=url))

    def test_fetched_carries_its_digest(self) -> None:
        made = fetched("https://x.example/y", "a" * 64)
        assert made.verification == Verification(hash="sha256-" + "a" * 64)

    def test_hash_of_bytes(self) -> None:
        assert sha256_hash(b"x") == "sha256-" + hashlib.sha256(b"x").hexdigest()


class TestRoundTrip:
    """Reading undoes writing, exactly."""

    @FIXED
    @given(configurations())
    def test_any_configuration(self, made: Ignition) -> None:
        data = made.to_bytes()
        assert parse(data) == made
        assert parse(data).to_bytes() == data
        assert json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() == data

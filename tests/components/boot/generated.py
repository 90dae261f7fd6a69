"""Any fleet, and any Ignition configuration, for tests that hold for all of them."""

from __future__ import annotations

import copy
import functools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from components.boot.contract import covered
from components.boot.digest import BLANK
from components.boot.ignition import (
    Directory,
    Disk,
    Dropin,
    File,
    Filesystem,
    Group,
    Ignition,
    KernelArguments,
    Link,
    Meta,
    Others,
    Owner,
    Partition,
    Passwd,
    Storage,
    Systemd,
    Unit,
    User,
    fetched,
    inline,
    inlined,
    parse,
)
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.fleet import IMAGES, fleet, pinned

IGNITION = ("fedora-coreos", "flatcar")
"""The systems that Ignition configures."""
LOCK = Lock.model_validate(pinned())
LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
DISK = st.from_regex(r"/dev/disk/by-(id|path)/[-A-Za-z0-9_.:+=@#]{1,20}", fullmatch=True)
DOMAIN = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
NETWORKS = st.sampled_from([("10.244.0.0/16", "10.96.0.0/12"), ("fd00:10::/48", "fd00:20::/108")])

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "ssh_authorized_keys": st.just(
            ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDJ2bJXnBXF6kS3nOQmzwHpF0xTLZPG1gOQe3uMqRsYA ops"]
        ),
        "time_servers": st.sampled_from([["ntp.example"], ["ntp.example", "192.0.2.7"]]),
        "registry_mirrors": st.sampled_from(
            [
                {"docker.io": ["https://m.example"]},
                {"quay.io": ["https://m.example/v2/q"], "r.example": ["https://n.example"]},
            ]
        ),
    },
)
"""Whatever else a stack file may ask for."""


@dataclass(frozen=True)
class AnyFleet:
    """A fleet of one host. name: the host's."""

    environment: Environment
    name: str

    def configurations(self) -> Iterator[bytes]:
        """Every Ignition configuration that is made for it: the installed system's, and the installer's."""
        boot = pool_boot(self.environment, LOCK, "only")
        own = self.environment.pools["only"].machines.own(self.name)
        yield boot.configuration(own, BLANK)
        for path, data in boot.publication(own, BLANK).files.items():
            if path.endswith(".ign"):
                yield data
                for file in parse(data).storage.files:
                    inner = inlined(file.contents)
                    if inner is not None and file.path.endswith(".ign"):
                        yield inner


@st.composite
def fleets(draw: st.DrawFn) -> AnyFleet:
    """Whatever a valid stack file may say of a host and its cluster."""
    name, disks = draw(LABEL), draw(st.lists(DISK, min_size=1, max_size=5, unique=True))
    pods, services = draw(NETWORKS)
    host = {
        "bmc": {"url": "https://bmc.example/redfish/v1/Systems/1"},
        "mac": "52:54:00:00:00:01",
        "os_disk": disks[0],
        "data_disks": disks[1:],
        "mounts": {
            draw(LABEL): {"disk": f"/dev/disk/by-id/mount-{i}", "filesystem": draw(st.sampled_from(["ext4", "xfs"]))}
            for i in range(draw(st.integers(0, 2)))
        },
        "fault_domain": draw(DOMAIN),
    }
    pools = {
        "only": {
            "role": draw(st.sampled_from(["control-plane", "worker"])),
            "machines": {"kind": "bare-metal", "hosts": {name: host}},
        }
    }
    document: dict[str, Any] = {
        "cluster": {
            "name": draw(LABEL),
            "kubernetes": "v1.36.3",
            "endpoint": draw(st.sampled_from(["api.example", "192.0.2.1", "fd00::1"])),
            "endpoint_port": draw(st.integers(1, 65535)),
            "pod_cidr": pods,
            "service_cidr": services,
        },
        "image": draw(st.sampled_from([image for os in IGNITION for image in IMAGES[os]]))
        | {"architecture": draw(st.sampled_from(["x86_64", "aarch64"]))},
        "boot_store": {
            "kind": "directory",
            "url": draw(st.sampled_from(["https://b.example", "https://b.example:8443/a"])),
            "directory": "/b",
        },
        "settings": draw(SETTINGS),
        "pools": pools,
        "storage": {
            "driver": {
                "kind": "simplyblock",
                "chart_version": "26.2.8",
                "cluster_id": "c-1",
                "pool_name": "p-1",
                "hugepages_mib": 2 * draw(st.integers(1024, 2_000_000)),
            },
            "nodes": draw(st.sampled_from([["only"], ["another"]])),
            "policies": {"fast": {}},
        },
    }
    return AnyFleet(Environment.model_validate(document), name)


JUNK: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 420.0, 420, 4095, 10**20, [], {}, [1]),
    *("", "x", "/", "/etc/a", "/etc/a/", "//a", "a b", "a:b", "x" * 40, "\u00e4" * 20, "a\nb", "root", "true"),
    *("data:,x", "data:x", "data:;base64,*", "https://x.example/y", "https://", "http://x y", "s3://b/k", "s3://b"),
    *("[Unit]\n", "[Unit]\nx", "x=y", "[Unit]\nA=" + "b" * 3000, "a.service", "a", "a.conf", "xfs", "none", "gzip"),
    *(
        "sha256-" + "a" * 64,
        "sha256-" + "A" * 64,
        "sha512-ab",
        "01234567-89ab-cdef-0123-456789abcdef",
        "3.4.0",
        "3.3.0",
    ),
]
"""Values of every type and form, of which some fit somewhere."""


def places(document: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, the document itself first."""
    yield at
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from places(value, (*at, key))


def at(document: Any, place: tuple[str | int, ...]) -> Any:
    """What is in a place."""
    for key in place:
        document = document[key]
    return document


FIELDS = (
    "append",
    "compression",
    "contents",
    "device",
    "dropins",
    "enabled",
    "format",
    "gid",
    "group",
    "groups",
    "guid",
    "hard",
    "hash",
    "label",
    "mask",
    "mode",
    "mountOptions",
    "name",
    "number",
    "options",
    "overwrite",
    "partitions",
    "path",
    "shouldExist",
    "sizeMiB",
    "source",
    "sshAuthorizedKeys",
    "startMiB",
    "target",
    "typeGuid",
    "user",
    "uuid",
    "verification",
    "version",
    "wipeFilesystem",
    "wipeTable",
)
"""Of the specification."""


@functools.cache
def bases() -> tuple[bytes, ...]:
    """Configurations that are whole: of real nodes, and one that has everything in it."""
    found = [RICH.to_bytes()]
    for os in IGNITION:
        environment = Environment.model_validate(fleet() | {"image": IMAGES[os][0]})
        for pool, name in (("control", "c1"), ("hci", "w1")):
            own = environment.pools[pool].machines.own(name)
            files = covered(pool_boot(environment, LOCK, pool), own, BLANK)
            found += [data for path, data in files.items() if not path.endswith(".ipxe")]
    return tuple(found)


RICH = Ignition(
    ignition=Meta(
        version="3.4.0",
        config=Others(merge=(fetched("https://x.example/a", "0" * 64), fetched("s3://bucket/b", "1" * 64))),
    ),
    storage=Storage(
        disks=(
            Disk(
                device="/dev/a",
                wipe_table=True,
                partitions=(
                    Partition(number=1, label="one", start_mib=1, size_mib=9),
                    Partition(number=2, label="two", start_mib=10, size_mib=0),
                    Partition(number=3, should_exist=False),
                ),
            ),
            Disk(device="/dev/b", partitions=(Partition(label="three"), Partition(label="four", size_mib=5))),
        ),
        filesystems=(
            Filesystem(device="/dev/c", format="ext4", label="c" * 12, path="/var/c", mount_options=("ro",)),
            Filesystem(device="/dev/d", format="xfs", label="d" * 12, path="/var/d", options=("-f",)),
        ),
        files=(
            File(path="/etc/a", mode=0o644, contents=inline("a"), overwrite=True, user=Owner(id=0)),
            File(path="/etc/b", contents=fetched("https://x.example/b", "2" * 64), group=Owner(name="root")),
            File(path="/etc/systemd/system/c.conf", append=(inline("c"), inline("d"))),
        ),
        directories=(Directory(path="/etc/d", mode=0o755), Directory(path="/var/e")),
        links=(Link(path="/etc/f", target="/etc/a", hard=True), Link(path="/etc/g", target="../d")),
    ),
    systemd=Systemd(
        units=(
            Unit(name="a.service", enabled=True, contents="[Service]\nExecStart=/a\n[Install]\nWantedBy=b.target\n"),
            Unit(name="b.target", mask=True),
            Unit(name="c.timer", contents="[Timer]\n", dropins=(Dropin(name="a.conf", contents="[Timer]\nA=b\n"),)),
        )
    ),
    passwd=Passwd(
        users=(User(name="a", ssh_authorized_keys=("k", "l"), groups=("g", "h"), uid=7),),
        groups=(Group(name="g", gid=8), Group(name="h")),
    ),
    kernel_arguments=KernelArguments(should_exist=("a", "b"), should_not_exist=("c",)),
)


def mutated(configuration: bytes, chance: random.Random) -> bytes:
    """The configuration with one to three things changed: put in, taken out, doubled, or swapped for another's."""
    document = json.loads(configuration)
    for _ in range(chance.randint(1, 3)):
        found = [place for place in places(document) if place]
        if not found:
            break
        place = chance.choice(found)
        parent, key = at(document, place[:-1]), place[-1]
        match chance.choice(("replace", "replace", "remove", "double", "copy", "add")):
            case "replace":
                parent[key] = copy.deepcopy(chance.choice(JUNK))
            case "remove":
                del parent[key]
            case "double" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[int(key)]))
            case "copy":
                parent[key] = copy.deepcopy(at(document, chance.choice(found)))
            case _ if isinstance(parent[key], dict):
                parent[key][chance.choice(FIELDS)] = copy.deepcopy(chance.choice(JUNK))
            case _:
                pass
    return json.dumps(document).encode()


NAME = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
MODE = st.none() | st.integers(0, 0o777)
OWNER = st.none() | st.builds(Owner, id=st.integers(0, 9)) | st.builds(Owner, name=NAME)
CONTENTS = st.none() | st.binary(max_size=20).map(inline) | st.just(fetched("https://x.example/y", "0" * 64))
BOOL = st.none() | st.booleans()
UNIT = st.sampled_from([None, "", "[Unit]\nDescription=a\n", "[Service]\nExecStart=/a \\\n  b\n"])


@st.composite
def configurations(draw: st.DrawFn) -> Ignition:
    """Any configuration that keeps to the rules."""

    def names(most: int = 4) -> list[str]:
        return draw(st.lists(NAME, max_size=most, unique=True))

    made_files = [File(path=f"/f/{n}", mode=draw(MODE), user=draw(OWNER), contents=draw(CONTENTS)) for n in names()]
    dropins = tuple(Dropin(name=f"{n}.conf", contents="[Unit]\nDescription=x\n") for n in names(2))
    made_units = [Unit(name=f"{n}.service", mask=draw(BOOL), contents=draw(UNIT), dropins=dropins) for n in names()]
    mounted = [
        Filesystem(device=f"/dev/{n}", format="xfs", label=draw(st.none() | NAME), mount_options=tuple(names()))
        for n in names()
    ]
    uid = draw(st.none() | st.just(7))
    disks = [
        Disk(
            device=f"/dev/{n}",
            wipe_table=draw(BOOL),
            partitions=tuple(Partition(label=p, start_mib=1 + 9 * i, size_mib=9) for i, p in enumerate(names(3))),
        )
        for n in names(2)
    ]
    merge = tuple(fetched(f"https://x.example/{n}", "0" * 64) for n in names(2))
    return Ignition(
        ignition=Meta(version="3.4.0", config=Others(merge=merge) if merge else None),
        storage=Storage(
            files=tuple(made_files),
            directories=tuple(Directory(path=f"/d/{n}", mode=draw(MODE), group=draw(OWNER)) for n in names()),
            links=tuple(Link(path=f"/l/{n}", target=draw(NAME), hard=draw(BOOL)) for n in names()),
            disks=tuple(disks),
            filesystems=tuple(mounted),
        ),
        systemd=Systemd(units=tuple(made_units)),
        passwd=Passwd(
            users=tuple(User(name=n, ssh_authorized_keys=tuple(names(2)), uid=uid) for n in names()),
            groups=tuple(Group(name=n, system=draw(BOOL)) for n in names()),
        ),
        kernel_arguments=KernelArguments(should_exist=tuple(names())),
    )

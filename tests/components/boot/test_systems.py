"""What every operating system in components/boot/systems.py fulfils (components/boot/contract.py).

A new system is held to this by being listed there, and by a line in IMAGES of fleet.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.boot import digest
from components.boot.contract import BootConfigurationError, PoolBoot, covered
from components.boot.digest import BLANK, STAND_IN
from components.boot.ignition import inlined, parse
from components.boot.pin import pins, publish
from components.boot.systems import SYSTEMS, pool_boot
from components.environment import Environment
from components.images.lock import Lock, UnknownRelease, key
from components.machines.contract import Own
from tests.components.boot.fleet import IMAGES

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
GENERATION = "0123456789abcdef"
W1 = "pools/hci/machines/hosts/w1"
ALL = {"c1", "c2", "c3", "w1", "w2", "w3"}
SECRETS = {
    "PEM": re.compile(rb"-----BEGIN (?!PGP PUBLIC)"),
    "a bootstrap token": re.compile(rb"(?<![a-z0-9.])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9])"),
    "a JSON web token": re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    "a password hash": re.compile(rb"\$(1|2[aby]|5|6|y)\$"),
    "an AWS key": re.compile(rb"AKIA[0-9A-Z]{16}"),
}
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"
NAME = st.sampled_from(["w1", "w2"])
DISK = st.sampled_from([f"/dev/disk/by-id/{c}" for c in "abcd"])
OWN = st.builds(Own, NAME, DISK, st.lists(DISK, max_size=2).map(tuple), st.sampled_from(["r1", "r2"]))


@pytest.fixture(params=sorted(SYSTEMS))
def os(request: pytest.FixtureRequest) -> str:
    """Each system in turn."""
    return str(request.param)


@pytest.fixture
def facts(os: str) -> str:
    """Where the lock has the release that the fleet runs."""
    image = IMAGES[os][0]
    return f"images/{os}/{key(image['version'], image.get('schematic'))}/x86_64"


def texts(data: bytes) -> dict[str, bytes]:
    """Everything that is written out in what is published, by where it is; Ignition's own files, and those of a
    Talos configuration, taken apart."""
    try:
        made = json.loads(data)
    except ValueError:
        return talos_texts(data) if data.startswith(b"{") else {"": data}
    if not isinstance(made, dict) or "ignition" not in made:
        return {"": data}
    found = {"": data}
    for file in parse(data).storage.files:
        inner = inlined(file.contents)
        if inner is not None:
            found |= {f"{file.path}:{at}" if at else file.path: text for at, text in texts(inner).items()}
    return found


def talos_texts(data: bytes) -> dict[str, bytes]:
    documents = [json.loads(part) for part in data.split(b"---\n")]
    files = [file for document in documents for file in document.get("machine", {}).pop("files", ())]
    return {"": json.dumps(documents).encode(), **{file["path"]: file["content"].encode() for file in files}}


def everything(boot: PoolBoot, own: Own = STAND_IN, generation: str = BLANK) -> dict[str, bytes]:
    """Every text of what a node is made of."""
    files = covered(boot, own, generation)
    return {f"{name}:{at}": text for name, data in files.items() for at, text in texts(data).items()}


def generations(environment: Environment, lock: Lock) -> dict[str, str]:
    return {name: pin.generation for name, pin in pins(environment, lock).items()}


def replaced(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before if before[name] != after.get(name)}


class TestListed:
    """A system is what the stack file and the lock call it."""

    def test_all_are_tested_here(self) -> None:
        assert set(IMAGES) == set(SYSTEMS)

    def test_by_its_name(self, os: str) -> None:
        assert SYSTEMS[os].os == SYSTEMS[os].root.os == os

    def test_one_that_nobody_made_is_refused(self, environment: Environments, lock: Locks) -> None:
        other = {"os": "talos", "version": "v1.13.9", "schematic": "0" * 64}
        if "talos" in SYSTEMS:
            pytest.skip("every system that a stack file can name is made")
        facts = {
            "os_image": "Talos (v1.13.9)",
            "artifacts": {"metal": {"url": "https://x.example/y", "sha256": "0" * 64}},
        }
        made = lock({"images/talos/v1.13.9/x86_64": facts})
        with pytest.raises(
            BootConfigurationError, match="expected an image of fedora-coreos, flatcar, found one of talos"
        ):
            pool_boot(environment({"image": other}), made, "hci")


class TestSameInputSameBytes:
    """What is published is a function of the stack file and the lock."""

    @pytest.mark.parametrize("pool", ["control", "hci"])
    def test_in_every_byte(self, pool: str, stack: Environments, lock: Locks) -> None:
        one, other = (covered(pool_boot(stack(), lock(), pool), STAND_IN, BLANK) for _ in range(2))
        assert dict(one) == dict(other)

    def test_in_every_generation(self, stack: Environments, lock: Locks) -> None:
        assert generations(stack(), lock()) == generations(stack(), lock())

    def test_publishes_what_the_pin_names(self, stack: Environments, lock: Locks) -> None:
        pin = pins(stack(), lock())["w1"]
        published = publish(stack(), lock(), "w1")
        assert (published.generation, published.boot_url) == (pin.generation, pin.boot_url)


class TestSaysWhoItIs:
    """A machine can tell its name and its generation, and so can whoever watches it boot."""

    @pytest.mark.parametrize(("pool", "name"), [("control", "c1"), ("hci", "w1")])
    def test_by_name_and_generation(self, pool: str, name: str, stack: Environments, lock: Locks) -> None:
        made = stack()
        boot = pool_boot(made, lock(), pool)
        own = made.pools[pool].machines.own(name)
        configured = b"\n".join(texts(boot.configuration(own, GENERATION)).values()).decode()
        assert name in configured
        assert GENERATION in configured
        published = boot.publication(own, GENERATION)
        assert published.node == name
        assert all(GENERATION in path and name in path for path in published.files)
        assert published.boot_url.removeprefix("https://boot.example/") in published.files
        assert any(GENERATION in argument for argument in published.kernel_arguments)

    def test_in_what_is_published_alone(self, stack: Environments, lock: Locks) -> None:
        """The generation is the digest of all else, so it stands for itself and changes nothing beside."""
        boot = pool_boot(stack(), lock(), "hci")
        one, other = (everything(boot, generation=g) for g in (BLANK, GENERATION))
        assert {at.replace(BLANK, "G") for at in one} == {at.replace(GENERATION, "G") for at in other}
        plain = {at.replace(BLANK, "G"): text.replace(BLANK.encode(), b"G") for at, text in one.items()}
        for at, text in other.items():
            if b'"ignition"' not in text:  # its inline texts are compared one by one
                assert text.replace(GENERATION.encode(), b"G") == plain[at.replace(GENERATION, "G")]


class TestHoldsNoSecret:
    """Whatever is published is public."""

    @pytest.mark.parametrize("shape", SECRETS)
    @pytest.mark.parametrize("pool", ["control", "hci"])
    def test_none_of_this_shape(self, shape: str, pool: str, stack: Environments, lock: Locks) -> None:
        for at, text in everything(pool_boot(stack(), lock(), pool)).items():
            assert not SECRETS[shape].search(text), at

    def test_the_shapes_are_found_where_they_are(self) -> None:
        samples = (PEM, "abcdef.0123456789abcdef", "eyJhbGciOiJ9.eyJzdWIiOiIx.x", "$6$salt$x", "AKIA" + "A" * 16)
        for pattern, sample in zip(SECRETS.values(), samples, strict=True):
            assert pattern.search(sample.encode())


class TestDataDisks:
    """Are named to the guard and the drivers, and to nothing that writes."""

    def test_are_in_no_command(self, stack: Environments, lock: Locks) -> None:
        made = stack()
        own = made.pools["hci"].machines.own("w1")
        boot = pool_boot(made, lock(), "hci")
        found = {at for at, text in everything(boot, own).items() if any(d.encode() in text for d in own.data_disks)}
        assert found
        assert all(at.endswith("/ingot/data-disks") for at in found)
        assert not any(
            disk in argument for disk in own.data_disks for argument in boot.publication(own, BLANK).kernel_arguments
        )

    def test_are_not_formatted_partitioned_or_mounted(self, stack: Environments, lock: Locks) -> None:
        """A disk that the stack file mounts is another matter, and is never wiped either."""
        for data in covered(pool_boot(stack(), lock(), "hci"), STAND_IN, BLANK).values():
            for text in texts(data).values():
                if text.startswith(b'{"ignition"'):
                    storage = parse(text).storage
                    assert storage.disks == ()
                    assert not {f.device for f in storage.filesystems} & {*STAND_IN.data_disks, STAND_IN.os_disk}
                    assert not any(f.wipe_filesystem for f in storage.filesystems)

    def test_are_left_alone_by_the_installer(self, stack: Environments, lock: Locks) -> None:
        files = pool_boot(stack(), lock(), "hci").publication(STAND_IN, BLANK).files
        for data in files.values():
            if data.startswith(b'{"ignition"'):
                assert parse(data).storage.filesystems == ()

    def test_are_never_the_os_disk(self, stack: Environments, lock: Locks) -> None:
        with pytest.raises(BootConfigurationError, match="among its data disks"):
            pins(stack({f"{W1}/data_disks": ["/dev/disk/by-id/nvme-OS_w1"]}), lock())


OWN_CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "its OS disk": ({f"{W1}/os_disk": "/dev/disk/by-id/nvme-NEW"}, {"w1"}),
    "its data disks": ({f"{W1}/data_disks": ["/dev/disk/by-id/nvme-NEW"]}, {"w1"}),
    "the order of its data disks": (
        {f"{W1}/data_disks": ["/dev/disk/by-id/nvme-B_1", "/dev/disk/by-id/nvme-A_1"]},
        set(),
    ),
    "its fault domain": ({f"{W1}/fault_domain": "rack-9"}, {"w1"}),
    "its MAC address": ({f"{W1}/mac": "52:54:00:00:00:99"}, set()),
    "its controller": ({f"{W1}/bmc/url": "https://bmc-new.example/redfish/v1/Systems/1"}, set()),
    "that it retires": ({f"{W1}/retire": True}, set()),
    "the roll": ({"pools/hci/rollout": {"max_unavailable": 1}}, set()),
    "a limit": ({"limits": {"boot_s": 2400}}, set()),
    "Kubernetes": ({"cluster/kubernetes": "v1.36.4"}, ALL),
    "the endpoint": ({"cluster/endpoint": "api2.example"}, ALL),
    "the endpoint's port": ({"cluster/endpoint_port": 7443}, ALL),
    "the boot store": ({"boot_store/url": "https://boot2.example"}, ALL),
    "hugepages": ({"storage/driver/hugepages_mib": 4096}, {"w1", "w2", "w3"}),
}


class TestDigest:
    """What is a node's own replaces that node; what a machine does not boot replaces none."""

    @pytest.mark.parametrize("case", OWN_CHANGES)
    def test_of(self, case: str, stack: Environments, lock: Locks) -> None:
        changes, nodes = OWN_CHANGES[case]
        assert replaced(generations(stack(), lock()), generations(stack(changes), lock())) == nodes

    def test_of_another_image(self, os: str, stack: Environments, lock: Locks) -> None:
        assert replaced(generations(stack(), lock()), generations(stack({"image": IMAGES[os][1]}), lock())) == ALL

    @settings(
        derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(one=OWN, other=OWN)
    def test_covers_every_byte(self, one: Own, other: Own, stack: Environments, lock: Locks) -> None:
        boot = pool_boot(stack(), lock(), "hci")
        files = [dict(covered(boot, own, BLANK)) for own in (one, other)]
        digests = [digest.digest("0" * 64, own) for own in (one, other)]
        assert (files[0] == files[1]) == (digests[0] == digests[1])


class TestArtifacts:
    """A system names exactly what it boots or writes."""

    def test_are_in_the_release(self, stack: Environments, lock: Locks) -> None:
        boot = pool_boot(stack(), lock(), "hci")
        assert boot.artifacts
        assert set(boot.artifacts) <= set(boot.asked.release.artifacts)

    def test_without_one_nothing_is_made(self, facts: str, stack: Environments, lock: Locks) -> None:
        for name in pool_boot(stack(), lock(), "hci").artifacts:
            with pytest.raises((UnknownRelease, BootConfigurationError), match=name):
                pins(stack(), lock({f"{facts}/artifacts/{name}": None}))

    def test_without_the_others_all_is_the_same(self, facts: str, stack: Environments, lock: Locks) -> None:
        boot = pool_boot(stack(), lock(), "hci")
        others = set(boot.asked.release.artifacts) - set(boot.artifacts)
        without = lock({f"{facts}/artifacts/{name}": None for name in others})
        assert generations(stack(), without) == generations(stack(), lock())

    def test_another_digest_of_one_replaces_all(self, facts: str, stack: Environments, lock: Locks) -> None:
        before = generations(stack(), lock())
        for name in pool_boot(stack(), lock(), "hci").artifacts:
            changed = lock({f"{facts}/artifacts/{name}/sha256": "0" * 64})
            assert replaced(before, generations(stack(), changed)) == ALL, name

    def test_a_new_ami_replaces_none(self, facts: str, stack: Environments, lock: Locks) -> None:
        changed = lock({f"{facts}/amis": {"eu-west-1": "ami-0fedcba9876543210"}})
        assert generations(stack(), changed) == generations(stack(), lock())


class TestImmutable:
    """Nothing that is published changes the system in place (components/boot/immutability.py)."""

    @pytest.mark.parametrize("pool", ["control", "hci"])
    @pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
    def test_as_it_is_made(self, os: str, pool: str, architecture: str, stack: Environments, lock: Locks) -> None:
        boot = pool_boot(stack({"image/architecture": architecture}), lock(), pool)
        assert SYSTEMS[os].mutations(covered(boot, STAND_IN, BLANK)) == ()

    def test_its_root_may_be_written_nowhere_else(self, os: str) -> None:
        root = SYSTEMS[os].root
        for path in ("/usr/bin/kubelet", "/usr/lib/systemd/system/a.service", "/boot/grub.cfg", "/a"):
            assert root.problem("here", path)
        assert root.problem("here", "/var/lib/a") is None

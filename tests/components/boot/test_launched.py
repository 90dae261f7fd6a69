"""components/boot/launched.py: what an instance boots, and what replaces it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from components.boot.contract import BootConfigurationError, covered
from components.boot.digest import BLANK
from components.boot.ignition import Ignition, inlined, parse
from components.boot.pin import boot_of, pins, user_data
from components.boot.systems import pool_boot
from components.boot.user_data import BYTES_MAX
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.aws_fleet import REGION, W1, aws_fleet
from tests.components.boot.fleet import IMAGES, NEW, OLD, changed

ALL = {"c1", "c2", "c3", "w1", "w2", "w3", "x1", "x2"}
IMAGE = f"images/fedora-coreos/{OLD}/x86_64"
Locks = Callable[..., Lock]


def environment(changes: Mapping[str, Any] | None = None) -> Environment:
    made = aws_fleet()
    for at, value in (changes or {}).items():
        made = changed(made, at, value)
    return Environment.model_validate(made)


def configured(found: Ignition) -> dict[str, bytes]:
    """Path of each file that the configuration holds itself -> what is in it."""
    files = ((f.path, inlined(f.contents)) for f in found.storage.files)
    return {path: data for path, data in files if data is not None}


class TestAnInstance:
    """Starts from the pinned image and becomes its node, without an installer."""

    @pytest.mark.parametrize("os", ["fedora-coreos", "flatcar"])
    @pytest.mark.parametrize("node", sorted(ALL))
    def test_gets_the_installed_systems_configuration(self, os: str, node: str, lock: Locks) -> None:
        of = environment({"image": IMAGES[os][0]})
        found = boot_of(of, lock(), node)
        made = user_data(of, lock(), node, found.own.fault_domain)
        (configuration,) = made.stored.values() or (made.data,)
        assert configuration == found.boot.configuration(found.own, found.generation)
        files = configured(parse(configuration))
        assert files["/etc/hostname"] == f"{node}\n".encode()
        assert files["/etc/ingot/generation"] == f"{found.generation}\n".encode()
        assert b"https://fleet-boot.s3.eu-central-1.amazonaws.com" in files["/etc/ingot/environment"]

    def test_whose_configuration_is_long_fetches_it_by_its_digest(self, lock: Locks) -> None:
        keys = {"settings": {"time_servers": [f"{'long-' * 10}{i}.example" for i in range(200)]}}
        made = user_data(environment(keys), lock(), "c1", f"{REGION}a")
        ((path, data),) = made.stored.items()
        assert len(data) > BYTES_MAX >= len(made.data)
        assert path == f"boot/{hashlib.sha256(data).hexdigest()}.ign"
        pointed = json.loads(made.data)["ignition"]["config"]["replace"]
        assert pointed == {
            "source": f"arn:aws:s3:::fleet-boot/{path}",
            "verification": {"hash": f"sha256-{hashlib.sha256(data).hexdigest()}"},
        }

    def test_installs_nothing_and_formats_nothing(self, lock: Locks) -> None:
        for pool, node, _ in environment().hosts():
            boot = pool_boot(environment(), lock(), pool)
            configuration = parse(boot.configuration(environment().pools[pool].machines.own(node), BLANK))
            assert (configuration.storage.disks, configuration.storage.filesystems) == ((), ())
            assert boot.artifacts == ()
            assert not [u.name for u in configuration.systemd.units if "installer" in u.name]

    def test_is_called_by_nothing_of_a_host_in_a_rack(self, lock: Locks) -> None:
        for pin in pins(environment(), lock(), stack="blue").values():
            assert (pin.boot_url, pin.mac, pin.os_disk, pin.data_disks) == ("", "", "", ())

    def test_is_published_as_it_is_judged(self, lock: Locks) -> None:
        """What immutability looks at is every byte that reaches the machine but the pointer."""
        found = boot_of(environment(), lock(), "w1")
        assert (
            found.boot.configuration(found.own, found.generation)
            in covered(found.boot, found.own, found.generation).values()
        )


class TestAZoneOfSeveral:
    """The configuration is for the zone that was taken, under the one generation that the host has."""

    def test_is_the_fault_domain_that_the_node_registers(self, lock: Locks) -> None:
        made = {zone: user_data(environment(), lock(), "x1", f"{REGION}{zone}") for zone in "abc"}
        texts = {zone: b"".join((*m.stored.values(), m.data)) for zone, m in made.items()}
        for zone in texts:
            joined = configured(parse(next(iter(made[zone].stored.values()), made[zone].data)))
            assert f"topology.kubernetes.io/zone={REGION}{zone}".encode() in joined["/etc/ingot/kubeadm/join.json"]
            assert pins(environment(), lock())["x1"].generation.encode() in joined["/etc/ingot/generation"]
        assert len(set(texts.values())) == 3

    def test_another_to_fall_back_to_replaces_nothing(self, lock: Locks) -> None:
        fewer = {"pools/web/machines/hosts/x1/zones": [f"{REGION}a", f"{REGION}b"]}
        assert replaced(fewer, lock) == set()


def replaced(changes: Mapping[str, Any], lock: Locks, locked: Mapping[str, Any] | None = None) -> set[str]:
    """The nodes whose machines a change replaces. locked: a change of the lock."""
    before, after = pins(environment(), lock()), pins(environment(changes), lock(locked))
    return {node for node in after if node in before and before[node].generation != after[node].generation}


class TestReplaces:
    """What a machine boots, and nothing else."""

    CASES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any] | None, set[str]]] = {
        "a new release": ({"image/version": NEW}, None, ALL),
        "another AMI in the region": ({}, {f"{IMAGE}/amis": {REGION: "ami-0fedcba9876543210"}}, ALL),
        "an AMI of another region": (
            {},
            {f"{IMAGE}/amis": {REGION: "ami-0123456789abcdef0", "us-east-1": "ami-0fedcba9876543210"}},
            set(),
        ),
        "a file of the installer": ({}, {f"{IMAGE}/artifacts/metal/sha256": "0" * 64}, set()),
        "another bucket": ({"boot_store/bucket": "another-bucket"}, None, ALL),
        "a host's zone": ({f"{W1}/zones": [f"{REGION}b"]}, None, {"w1"}),
        "a volume more": ({f"{W1}/data_volumes/c": {"gib": 10}}, None, {"w1"}),
        "a volume's size": ({f"{W1}/data_volumes/a": {"gib": 40}}, None, set()),
        "other instance types": ({"pools/hci/machines/instance_types": ["m7a.xlarge"]}, None, set()),
        "a larger root": ({"pools/hci/machines/root_gib": 100}, None, set()),
        "another placement": ({"pools/hci/machines/placement": "spread"}, None, set()),
        "tags": ({"aws/tags": {"team": "platform"}}, None, set()),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_by(self, case: str, lock: Locks) -> None:
        changes, locked, nodes = self.CASES[case]
        assert replaced(changes, lock, locked) == nodes

    def test_no_machine_in_a_rack_by_an_ami(self, lock: Locks, environment: Callable[..., Environment]) -> None:
        before = pins(environment(), lock())
        assert pins(environment(), lock({f"{IMAGE}/amis": {REGION: "ami-0fedcba9876543210"}})) == before


class TestRefusal:
    """At preview, with the way out."""

    def test_of_a_region_without_an_ami(self, lock: Locks) -> None:
        elsewhere = lock(
            {f"{IMAGE}/amis": {"eu-west-1": "ami-0123456789abcdef0", "us-east-1": "ami-0123456789abcdef1"}}
        )
        with pytest.raises(BootConfigurationError) as refused:
            pins(environment(), elsewhere)
        assert f"expected an AMI of fedora-coreos {OLD} (x86_64) in aws.region eu-central-1" in str(refused.value)
        assert "found those of eu-west-1, us-east-1" in str(refused.value)

    def test_of_talos(self, lock: Locks) -> None:
        with pytest.raises(BootConfigurationError, match=r"expected machines of kind bare-metal.*Flatcar run there"):
            pins(environment({"image": IMAGES["talos"][0], "settings": {}}), lock())

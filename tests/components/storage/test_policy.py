"""Policies become StorageClasses, or are refused: nothing is dropped in silence."""

from __future__ import annotations

import pytest

from components.environment import Simplyblock, Storage, StoragePolicy
from components.storage.policy import DEFAULT_CLASS, PolicyRefused, StorageClass, storage_classes
from components.storage.simplyblock import SimplyblockDriver

ARGS = Simplyblock(chart_version="26.2.8", cluster_id="c1", pool_name="p1")
DRIVER = SimplyblockDriver(ARGS)


def storage(**policies: StoragePolicy) -> Storage:
    return Storage(driver=ARGS, nodes=("workers",), policies=policies)


def made(policy: StoragePolicy) -> StorageClass:
    return storage_classes(storage(fast=policy), DRIVER, nodes=6)[0]


PLAIN = StoragePolicy()


class TestEveryFieldIsHonoured:
    """As the driver's own parameters, all of them text."""

    def test_a_plain_policy(self) -> None:
        assert made(PLAIN).parameters == {
            "cluster_id": "c1",
            "pool_name": "p1",
            "qos_rw_iops": "0",
            "compression": "False",
            "encryption": "False",
            "csi.storage.k8s.io/fstype": "ext4",
        }

    @pytest.mark.parametrize(
        ("policy", "parameter", "value"),
        [
            (StoragePolicy(iops=5000), "qos_rw_iops", "5000"),
            (StoragePolicy(compression=True), "compression", "True"),
            (StoragePolicy(encryption=True), "encryption", "True"),
            (StoragePolicy(filesystem="xfs"), "csi.storage.k8s.io/fstype", "xfs"),
        ],
    )
    def test_per_class(self, policy: StoragePolicy, parameter: str, value: str) -> None:
        assert made(policy).parameters[parameter] == value

    def test_by_the_class_itself(self) -> None:
        policy = StoragePolicy(reclaim="Retain", binding="Immediate", expansion=False, default=True)
        found = made(policy)
        assert (found.reclaim, found.binding, found.expansion) == ("Retain", "Immediate", False)
        assert found.annotations == {DEFAULT_CLASS: "true"}

    def test_no_field_is_forgotten(self) -> None:
        changes: dict[str, object] = {
            "replicas": 3,
            "filesystem": "xfs",
            "encryption": True,
            "compression": True,
            "iops": 100,
            "reclaim": "Retain",
            "binding": "Immediate",
            "expansion": False,
            "default": True,
        }
        assert set(changes) == set(StoragePolicy.model_fields), "a new field is honoured or refused by every driver"
        for field, value in changes.items():
            changed = StoragePolicy.model_validate({field: value})
            assert made(changed) != made(PLAIN) or DRIVER.stripe({"p": changed}) != DRIVER.stripe({"p": PLAIN})


class TestNames:
    """A changed policy is a class of its own beside the old one; volumes keep theirs."""

    def test_carry_the_policy_and_a_hash(self) -> None:
        assert made(PLAIN).name == "fast-6c64da5e"

    @pytest.mark.parametrize(
        "policy",
        [StoragePolicy(compression=True), StoragePolicy(reclaim="Retain"), StoragePolicy(expansion=False)],
    )
    def test_change_with_what_cannot_be_changed(self, policy: StoragePolicy) -> None:
        assert made(policy).name != made(PLAIN).name

    def test_stay_when_another_becomes_the_default(self) -> None:
        assert made(StoragePolicy(default=True)).name == made(PLAIN).name


class TestRefused:
    """All at once, each with its path, what was found and what to do."""

    def test_more_copies_than_there_are_nodes_for(self) -> None:
        with pytest.raises(PolicyRefused) as refused:
            storage_classes(storage(fast=StoragePolicy(replicas=3)), DRIVER, nodes=4)
        assert refused.value.refusals == (
            "storage.policies.fast.replicas: 3 copies need 5 storage nodes, found 4; "
            "add hosts to the pools in storage.nodes, or keep fewer copies",
        )

    def test_copies_that_the_driver_never_keeps(self) -> None:
        with pytest.raises(PolicyRefused, match=r"policies\.fast\.replicas: simplyblock keeps 2 or 3 copies, found 4"):
            storage_classes(storage(fast=StoragePolicy(replicas=4)), DRIVER, nodes=50)

    def test_policies_that_disagree_on_copies(self) -> None:
        with pytest.raises(PolicyRefused, match=r"one count of replicas .* \{'a': 2, 'b': 3\}"):
            storage_classes(storage(a=PLAIN, b=StoragePolicy(replicas=3)), DRIVER, nodes=6)

    def test_two_defaults(self) -> None:
        both = StoragePolicy(default=True)
        with pytest.raises(PolicyRefused, match=r"one default at most, found \['a', 'b'\]"):
            storage_classes(storage(a=both, b=both), DRIVER, nodes=6)

    def test_everything_at_once(self) -> None:
        wrong = StoragePolicy(replicas=5, default=True)
        with pytest.raises(PolicyRefused) as refused:
            storage_classes(storage(a=wrong, b=StoragePolicy(default=True)), DRIVER, nodes=2)
        assert len(refused.value.refusals) == 4

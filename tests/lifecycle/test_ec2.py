"""Names on AWS: what the program registers is what a step finds."""

import pytest

from lifecycle import ec2, owners
from lifecycle.ports import Controller, Role


class TestController:
    """A host on EC2 has one address for life, whatever instance stands for it."""

    def test_its_url_says_where_it_is(self) -> None:
        made = ec2.url("eu-central-1", "blue", "w1")

        assert made == "ec2://eu-central-1/blue/w1"
        assert ec2.place(made) == ec2.Place("eu-central-1", "blue", "w1")

    @pytest.mark.parametrize(
        "other",
        [
            "https://eu-central-1/blue/w1",
            "ec2://eu-central-1/blue",
            "ec2://eu-central-1/blue/w1/w2",
            "ec2://eu-central-1//w1",
            "ec2:///blue/w1",
            "ec2://eu-central-1/blue/w1?x=y",
        ],
    )
    def test_another_form_is_refused_by_name(self, other: str) -> None:
        with pytest.raises(ValueError, match="expected ec2://<region>/<cluster>/<host>, found"):
            ec2.place(other)

    def test_two_hosts_are_two_machines_and_a_slash_makes_no_third(self) -> None:
        first, second = (Controller(ec2.url("eu-central-1", "blue", host)) for host in ("w1", "w2"))

        assert owners.machine(first) != owners.machine(second)
        assert owners.machine(Controller(first.url + "/")) == owners.machine(first)

    def test_the_same_host_of_another_cluster_or_region_is_another_machine(self) -> None:
        urls = [("eu-central-1", "blue"), ("eu-central-1", "green"), ("eu-west-1", "blue")]

        assert len({owners.machine(Controller(ec2.url(region, cluster, "w1"))) for region, cluster in urls}) == 3


class TestNames:
    """One list for whoever registers and whoever looks."""

    def test_of_what_a_cluster_has(self) -> None:
        assert ec2.network_name("blue") == "blue"
        assert ec2.template_name("blue", "workers") == "blue-workers"
        assert ec2.role_name("blue", Role.CONTROL_PLANE) == "blue-control-plane"
        assert ec2.balancer_name("blue") == "blue-api"

    def test_tags_say_whose_it_is(self) -> None:
        assert ec2.tags("aws", "blue") == {"ingot:stack": "aws", "ingot:cluster": "blue"}
        assert ec2.tags("aws", "blue", "w1", generation="g1") == {
            "ingot:stack": "aws",
            "ingot:cluster": "blue",
            "ingot:host": "w1",
            "ingot:generation": "g1",
        }
        assert ec2.tags("aws", "blue", "w1", volume="data-1")["ingot:volume"] == "data-1"

    def test_a_security_group_says_of_which_role_it_is_and_a_subnet_that_it_is_for_all(self) -> None:
        assert ec2.tags("aws", "blue", role=Role.WORKER)["ingot:role"] == "worker"
        assert ec2.tags("aws", "blue", role=ec2.ANY_ROLE)["ingot:role"] == "any"

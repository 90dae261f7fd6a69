"""components/aws: what the example registers, whose it is, and in which order it goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle import ec2
from tests.components.aws.example import below, example, of_aws, registered, short

PREVIEW = Path(__file__).with_name("preview.txt")
UNTAGGED = frozenset(
    {
        "aws:ec2/route:Route",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:lb/targetGroupAttachment:TargetGroupAttachment",
        "aws:route53/record:Record",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
    }
)
"""What AWS knows no tags of: parts of something that has them."""
CONTROL_PLANES = ("cp1", "cp2", "cp3")
STORING = ("w1", "w2", "w3", "w4", "w5", "w6")
WANDERING = ("web1", "web2", "web3")


class TestPreview:
    """Of the example (renew: UPDATE_GOLDEN=1, then read every change)."""

    def test_registers_this(self) -> None:
        monitor = registered(preview=True)
        found = "".join(sorted(f"{short(r)}\n" for r in monitor.registered))
        if os.environ.get("UPDATE_GOLDEN"):
            PREVIEW.write_text(found)
        assert found == PREVIEW.read_text()

    def test_registers_the_same_as_an_up(self) -> None:
        """So nothing hangs on what is known only once a resource is made."""
        assert sorted(example().names()) == sorted(line.split()[1] for line in PREVIEW.read_text().splitlines())


class TestTags:
    """Everything says whose it is."""

    def test_on_all_that_takes_any(self) -> None:
        whose = ec2.tags("metal", "aws").items() | {"team": "platform"}.items()
        bare = [short(r) for r in of_aws(example()) if not whose <= dict(r.inputs.get("tags", {})).items()]
        assert bare == [short(r) for r in of_aws(example()) if r.type in UNTAGGED]

    def test_on_what_a_launch_makes(self) -> None:
        for template in of_aws(example(), "ec2/launchTemplate"):
            said = {t["resourceType"]: t["tags"] for t in template.inputs["tagSpecifications"]}
            assert said.keys() == {"instance", "volume"}, "an interface that is there takes no tags at a launch"
            assert all(tags.items() >= ec2.tags("metal", "aws").items() for tags in said.values())

    def test_by_which_a_step_finds_what_is_a_hosts(self) -> None:
        address, volume = example().one("w1.address").inputs["tags"], example().one("w1.data-1").inputs["tags"]
        assert address.items() >= ec2.tags("metal", "aws", "w1").items()
        assert volume.items() >= ec2.tags("metal", "aws", "w1", volume="data-1").items()
        assert ec2.VOLUME_TAG not in address

    def test_by_which_a_step_finds_subnets_and_groups(self) -> None:
        """Private subnets alone, and a group for each role alone: no storage host is wandering."""
        roles = {short(r): r.inputs["tags"][ec2.ROLE_TAG] for r in of_aws(example()) if ec2.ROLE_TAG in str(r.inputs)}
        assert roles == {
            "aws:ec2:SecurityGroup control-plane": "control-plane",
            "aws:ec2:SecurityGroup worker": "worker",
            **{f"aws:ec2:Subnet private-eu-central-1{letter}": ec2.ANY_ROLE for letter in "abc"},
        }


class TestNames:
    """Those that steps and people go by."""

    def test_of_everything_that_has_one_in_its_account(self) -> None:
        named = {r.inputs["name"] for r in of_aws(example()) if "name" in r.inputs and "Policy" not in r.type}
        assert named == {
            "api.aws.example",
            "aws-api",
            "aws-control-plane",
            "aws-worker",
            "aws-storage",
            "aws-web",
            "aws-workers",
        }

    def test_of_what_the_steps_launch_from(self) -> None:
        templates = {r.name: r.inputs["name"] for r in of_aws(example(), "ec2/launchTemplate")}
        assert templates == {f"{p}.template": ec2.template_name("aws", p) for p in ("control-plane", "workers", "web")}


class TestOrder:
    """What a thing depends on comes before it, and goes after it."""

    @pytest.mark.parametrize("host", [*CONTROL_PLANES, *STORING, *WANDERING])
    def test_a_machine_ends_before_all_it_stood_on(self, host: str) -> None:
        """But for what is other hosts' own, and for targets, which hang above the machines."""
        monitor = example()
        later = below(monitor, monitor.one(f"{host}.machine").urn)
        own = {f"{h}." for h in (*CONTROL_PLANES, *STORING, *WANDERING) if h != host}
        shared = {r.urn for r in of_aws(monitor) if not r.name.startswith(tuple(own))}
        shared -= {r.urn for r in of_aws(monitor, "lb/targetGroupAttachment")}
        others = {p for p in ("control-plane.", "workers.", "web.") if monitor.one(f"{p}template").urn not in later}
        shared -= {r.urn for r in of_aws(monitor) if r.name.startswith(tuple(others))}
        role = "worker" if host in CONTROL_PLANES else "control-plane"
        assert {urn.split("::")[-1] for urn in shared - later} == {f"{role}-profile"}

    @pytest.mark.parametrize("host", CONTROL_PLANES)
    def test_a_control_plane_leaves_before_its_target_goes(self, host: str) -> None:
        monitor = example()
        assert f"{host}.target" in monitor.after(f"{host}.membership")
        assert f"{host}.target" not in {u.split("::")[-1] for u in below(monitor, monitor.one(f"{host}.machine").urn)}

    @pytest.mark.parametrize("host", STORING)
    def test_a_node_leaves_and_its_machine_ends_before_volume_and_address_go(self, host: str) -> None:
        monitor = example()
        assert {f"{host}.address", f"{host}.data-1", "workers.template"} == monitor.after(f"{host}.machine")
        later = {u.split("::")[-1] for u in below(monitor, monitor.one(f"{host}.membership").urn)}
        assert {f"{host}.machine", f"{host}.data-1"} <= later

    def test_the_vpc_goes_last_of_all_on_aws(self) -> None:
        monitor = example()
        (vpc,) = of_aws(monitor, "ec2/vpc:")
        above = [r for r in of_aws(monitor) if r.type.startswith(("aws:ec2", "aws:lb", "aws:vpc")) and r != vpc]
        apart = {r.name for r in above if vpc.urn not in below(monitor, r.urn)}
        assert apart == {"control-plane.placement", "workers.placement"}

    def test_no_machine_is_made_anew_because_of_something_here(self) -> None:
        """Only by what it boots: an input that came from here would replace it when that changes."""
        for host in (*CONTROL_PLANES, *STORING, *WANDERING):
            machine = example().one(f"{host}.machine")
            assert machine.inputs.keys() == {"create", "update", "delete", "triggers"}
            assert len(machine.inputs["triggers"]) == 1

    def test_the_provider_is_the_stacks_own(self) -> None:
        """Not the one that whoever runs it has in the shell."""
        providers = {r.provider.rpartition("::")[0] for r in of_aws(example())}
        assert len(providers) == 1
        (provider,) = (r for r in example().registered if r.type == "pulumi:providers:aws")
        assert (provider.inputs["region"], providers) == ("eu-central-1", {provider.urn})


class TestExistingNetwork:
    """Somebody else's VPC is used and never changed."""

    def test_nothing_of_it_is_registered(self) -> None:
        subnets = {f"eu-central-1{z}": f"subnet-0a1b2c3d4e5f6071{z}" for z in "abc"}
        network = {"kind": "existing", "vpc": "vpc-0a1b2c3d4e5f60718", "subnets": subnets}
        monitor = registered({"aws/network": network})
        parts = ("vpc:Vpc", "ubnet", "Gateway", "Route", "VpcEndpoint", "Eip")
        assert [short(r) for r in of_aws(monitor, "ec2/") if any(word in r.type for word in parts)] == []
        (balancer,) = of_aws(monitor, "lb/loadBalancer")
        assert balancer.inputs["subnets"] == list(subnets.values())
        assert monitor.one("w2.address").inputs["subnetId"] == "subnet-0a1b2c3d4e5f6071b"
        assert {r.inputs["vpcId"] for r in of_aws(monitor, "ec2/securityGroup")} == {"vpc-0a1b2c3d4e5f60718"}


def test_says_where_the_api_is_led_to() -> None:
    assert example().outputs["infrastructure"] == {"load_balancer": "dnsName of api"}


class TestBlueGreen:
    """Each generation of a host is a node of its own, with nothing that another machine has."""

    def test_names_resources_and_commands_by_the_node(self) -> None:
        monitor = registered({"pools/web/rollout/strategy": "blue-green"})
        machines = [r for r in monitor.registered if r.name.startswith("web1-") and r.name.endswith(".machine")]
        (machine,) = machines
        node, generation = machine.name.removesuffix(".machine"), machine.inputs["triggers"][0]
        assert node == f"web1-{generation[:8]}"
        assert f"--node {node} --generation {generation}" in machine.inputs["create"]
        assert "web1.machine" not in monitor.names()

    def test_its_machines_depend_on_their_pools_template(self) -> None:
        monitor = registered({"pools/web/rollout/strategy": "blue-green"})
        (machine,) = [r for r in monitor.registered if r.name.startswith("web1-") and r.name.endswith(".machine")]
        assert any(urn.endswith("::web.template") for urn in machine.dependencies)

    def test_a_host_of_one_zone_keeps_no_address(self) -> None:
        hosts = {"web1": {"zones": ["eu-central-1a"]}}
        said = {"pools/web/machines/hosts": hosts}
        assert "web1.address" in registered(said).names()
        assert "web1.address" not in registered({**said, "pools/web/rollout/strategy": "blue-green"}).names()

    def test_changes_no_other_pool(self) -> None:
        monitor = registered({"pools/web/rollout/strategy": "blue-green"})
        rest = [n for n in example().names() if n.endswith(".machine") and not n.startswith("web")]
        assert set(rest) <= set(monitor.names())

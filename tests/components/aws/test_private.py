"""components/aws: whatever holds data or a secret is encrypted and private, and nobody may more than he must."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from components.aws import policies
from components.aws.firewall import OPENINGS
from components.aws.network import subnet_ranges
from components.machines.aws import OwnNetwork
from tests.components.aws.example import example, of_aws, registered, statements

EVERYWHERE = "0.0.0.0/0"
BUCKET = "arn:aws:s3:::example-ingot-aws"


class TestBucket:
    """Credentials and records are in it."""

    def test_nobody_outside_reads_it(self) -> None:
        (block,) = of_aws(example(), "s3/bucketPublicAccessBlock")
        switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        assert [block.inputs[s] for s in switches] == [True] * 4

    def test_whatever_is_in_it_is_this_accounts(self) -> None:
        (ownership,) = of_aws(example(), "s3/bucketOwnershipControls")
        assert ownership.inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}

    def test_is_encrypted(self) -> None:
        (encryption,) = of_aws(example(), "s3/bucketServerSideEncryptionConfiguration")
        (rule,) = encryption.inputs["rules"]
        assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "AES256"

    def test_is_refused_without_tls_to_everybody(self) -> None:
        (policy,) = of_aws(example(), "s3/bucketPolicy")
        found = list(statements(policy.inputs["policy"]))
        assert {s["Effect"] for s in found} == {"Deny"}
        assert all(s["Principal"] == "*" and s["Action"] == "s3:*" for s in found)
        assert all(set(s["Resource"]) == {BUCKET, f"{BUCKET}/*"} for s in found)
        assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in found]

    def test_forgets_in_a_day_what_was_taken_away(self) -> None:
        (lifecycle,) = of_aws(example(), "s3/bucketLifecycleConfiguration")
        gone, credentials = lifecycle.inputs["rules"]
        assert gone["filter"] == {"prefix": ""}
        assert gone["noncurrentVersionExpiration"] == {"noncurrentDays": 1}
        assert (credentials["filter"], credentials["expiration"]) == ({"prefix": "once/"}, {"days": 1})


class TestRights:
    """Of a machine: what it boots, what is handed to its role, and its report."""

    @pytest.mark.parametrize("role", ["control-plane", "worker"])
    def test_are_these_and_no_others(self, role: str) -> None:
        allowed = {
            (action, resource)
            for s in statements(example().one(f"{role}-policy").inputs["policy"])
            for action in _listed(s["Action"])
            for resource in _listed(s["Resource"])
            if s["Effect"] == "Allow"
        }
        assert allowed == {
            ("s3:GetObject", f"{BUCKET}/boot/*"),
            ("s3:GetObject", f"{BUCKET}/once/{role}/*"),
            ("s3:PutObject", f"{BUCKET}/progress/{role}/*"),
        }

    def test_are_taken_on_by_instances_alone(self) -> None:
        for role in of_aws(example(), "iam/role:"):
            (trust,) = statements(role.inputs["assumeRolePolicy"])
            assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}

    def test_are_all_that_there_are(self) -> None:
        assert len(of_aws(example(), "iam/rolePolicy")) == len(of_aws(example(), "iam/role:")) == 2
        assert not [r for r in of_aws(example(), "iam/") if "Attachment" in r.type or "managedPolicyArns" in r.inputs]

    def test_of_each_pools_machines_are_their_roles(self) -> None:
        found = {r.name: r.inputs["iamInstanceProfile"] for r in of_aws(example(), "ec2/launchTemplate")}
        assert found == {
            "control-plane.template": {"name": "aws-control-plane"},
            "workers.template": {"name": "aws-worker"},
            "web.template": {"name": "aws-worker"},
        }

    def test_are_spelt_for_the_part_of_aws(self) -> None:
        assert '"arn:aws-cn:s3:::b/boot/*"' in policies.machine("cn-north-1", "b", "worker")


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


class TestInstances:
    """Whatever is launched."""

    def test_gives_its_rights_to_no_pod(self) -> None:
        for template in of_aws(example(), "ec2/launchTemplate"):
            said = template.inputs["metadataOptions"]
            assert (said["httpTokens"], said["httpPutResponseHopLimit"]) == ("required", 1)

    def test_is_encrypted(self) -> None:
        for template in of_aws(example(), "ec2/launchTemplate"):
            (root,) = template.inputs["blockDeviceMappings"]
            assert (root["ebs"]["encrypted"], root["ebs"]["deleteOnTermination"]) == ("true", "true")
        volumes = of_aws(example(), "ebs/volume")
        assert len(volumes) == 6
        assert all(v.inputs["encrypted"] is True and v.inputs["type"] == "gp3" for v in volumes)

    def test_is_launched_from_the_regions_image(self) -> None:
        amis = {r.inputs["imageId"] for r in of_aws(example(), "ec2/launchTemplate")}
        assert amis == {"ami-031258abab65fdb68"}

    def test_says_nothing_of_the_network_that_would_exclude_its_own_address(self) -> None:
        for template in of_aws(example(), "ec2/launchTemplate"):
            assert not {"networkInterfaces", "vpcSecurityGroupIds", "instanceType", "userData"} & template.inputs.keys()

    @pytest.mark.parametrize(
        ("placement", "group"),
        [
            ("none", None),
            ("spread", {"name": "aws-web", "strategy": "spread"}),
            ("partition", {"name": "aws-web", "strategy": "partition", "partitionCount": 7}),
        ],
    )
    def test_is_placed_as_asked(self, placement: str, group: dict[str, Any] | None) -> None:
        monitor = registered({"pools/web/machines/placement": placement}, preview=True)
        groups = [r for r in of_aws(monitor, "ec2/placementGroup") if r.name == "web.placement"]
        assert [{k: v for k, v in g.inputs.items() if k != "tags"} for g in groups] == ([group] if group else [])
        assert ("placement" in monitor.one("web.template").inputs) is bool(group)


class TestVolumes:
    """What is on them outlives whatever is written into a stack file."""

    def test_are_never_made_anew(self) -> None:
        """Each of these would replace the volume, and what is on it would be gone."""
        for volume in of_aws(example(), "ebs/volume"):
            assert set(volume.ignore_changes) >= {"availabilityZone", "encrypted", "kmsKeyId"}

    def test_outlive_the_stack_where_it_says_so(self) -> None:
        at = "pools/workers/machines/hosts/w1/data_volumes"
        monitor = registered({at: {"data-1": {"gib": 200, "keep": True}, "data-2": {"gib": 10}}}, preview=True)
        assert {r.name: r.retained for r in of_aws(monitor, "ebs/volume") if r.name.startswith("w1.")} == {
            "w1.data-1": True,
            "w1.data-2": False,
        }


class TestNetwork:
    """Machines are reached from where it says, and from nowhere else."""

    def test_machines_have_no_public_address(self) -> None:
        private = [r for r in of_aws(example(), "ec2/subnet:") if r.name.startswith("private")]
        assert len(private) == 3
        assert all(r.inputs["mapPublicIpOnLaunch"] is False for r in private)
        (balancer,) = of_aws(example(), "lb/loadBalancer")
        assert balancer.inputs["internal"] is True
        assert {*balancer.inputs["subnets"]} == {f"id of {r.name}" for r in private}

    def test_nothing_is_open_to_everybody(self) -> None:
        rules = of_aws(example(), "vpc/securityGroupIngressRule")
        assert len(rules) > 10
        assert {r.inputs.get("cidrIpv4") for r in rules} == {None, "10.30.0.0/24"}
        assert not [r for r in of_aws(example(), "ec2/securityGroup:") if "ingress" in r.inputs]

    def test_lets_in_what_is_needed(self) -> None:
        """to <- from: protocol, ports."""
        lines = set()
        for r in of_aws(example(), "vpc/securityGroupIngressRule"):
            i = r.inputs
            source = i.get("cidrIpv4") or i["referencedSecurityGroupId"].removeprefix("id of ")
            to = i["securityGroupId"].removeprefix("id of ")
            lines.add(f"{to} <- {source}: {i['ipProtocol']} {i['fromPort']:g}-{i['toPort']:g}")
        assert lines == {
            "api <- 10.30.0.0/24: tcp 6443-6443",
            "api <- control-plane: tcp 6443-6443",
            "api <- worker: tcp 6443-6443",
            "control-plane <- 10.30.0.0/24: tcp 2379-2379",
            "control-plane <- api: tcp 6443-6443",
            "control-plane <- control-plane: tcp 10250-10250",
            "control-plane <- control-plane: tcp 2379-2380",
            "control-plane <- control-plane: tcp 6443-6443",
            "control-plane <- control-plane: udp 8472-8472",
            "control-plane <- worker: tcp 6443-6443",
            "control-plane <- worker: udp 8472-8472",
            "storage <- worker: tcp 4420-4499",
            "storage <- worker: tcp 5000-5000",
            "storage <- worker: tcp 80-80",
            "storage <- worker: tcp 8080-9044",
            "worker <- control-plane: tcp 10250-10250",
            "worker <- control-plane: udp 8472-8472",
            "worker <- worker: udp 8472-8472",
        }

    def test_storage_ports_are_those_of_hosts_that_store(self) -> None:
        groups = {r.name: r.inputs["securityGroups"] for r in of_aws(example(), "ec2/networkInterface")}
        assert groups["w1.address"] == ["id of worker", "id of storage"]
        assert groups["cp1.address"] == ["id of control-plane"]

    def test_steps_are_let_in_only_where_it_says_so(self) -> None:
        monitor = registered({"aws/runners": None}, preview=True)
        assert not [r.name for r in of_aws(monitor, "vpc/securityGroupIngressRule") if "cidrIpv4" in r.inputs]

    def test_every_opening_has_a_name_of_its_own(self) -> None:
        names = [opening.name for opening in OPENINGS]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("cidr", ["10.20.0.0/16", "172.16.0.0/22"])
    def test_ranges_are_apart_and_inside(self, cidr: str) -> None:
        zones = tuple(f"us-east-1{letter}" for letter in "abcdef")
        network = OwnNetwork(kind="own", cidr=cidr, zones=zones)
        found = [ipaddress.ip_network(r) for zone in zones for r in subnet_ranges(network, zone)]
        whole = ipaddress.ip_network(cidr)
        assert all(isinstance(r, ipaddress.IPv4Network) and r.subnet_of(whole) for r in found)  # type: ignore[arg-type]
        assert not [(a, b) for i, a in enumerate(found) for b in found[:i] if a.overlaps(b)]
        assert all(r.prefixlen <= 28 for r in found), "AWS takes no smaller subnet"

    def test_a_zone_more_moves_no_other(self) -> None:
        two, three = (OwnNetwork(kind="own", cidr="10.0.0.0/16", zones=z) for z in (ZONES[1:], ZONES))
        assert [subnet_ranges(two, z) for z in ZONES[1:]] == [subnet_ranges(three, z) for z in ZONES[1:]]


ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")


class TestApi:
    """One name for it."""

    def test_a_private_zone_of_its_name_leads_to_the_balancer(self) -> None:
        zone, record = example().one("endpoint", "aws:route53/zone"), example().one("endpoint", "aws:route53/record")
        assert zone.inputs["name"] == record.inputs["name"] == "api.aws.example"
        assert zone.inputs["vpcs"] == [{"vpcId": "id of vpc", "vpcRegion": "eu-central-1"}]
        assert record.inputs["aliases"][0]["name"] == "dnsName of api"

    def test_or_somebody_else_does(self) -> None:
        monitor = registered({"aws/endpoint_record": "none"}, preview=True)
        assert of_aws(monitor, "route53") == []

    def test_targets_are_addresses_that_outlive_machines(self) -> None:
        (group,) = of_aws(example(), "lb/targetGroup:")
        assert (group.inputs["targetType"], group.inputs["preserveClientIp"]) == ("ip", "false")
        targets = {r.name: r.inputs["targetId"] for r in of_aws(example(), "lb/targetGroupAttachment")}
        assert targets == {f"cp{i}.target": f"privateIp of cp{i}.address" for i in (1, 2, 3)}

    def test_only_who_is_ready_is_asked(self) -> None:
        (group,) = of_aws(example(), "lb/targetGroup:")
        assert (group.inputs["healthCheck"]["protocol"], group.inputs["healthCheck"]["path"]) == ("HTTPS", "/readyz")

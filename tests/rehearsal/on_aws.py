"""A fleet on the rack's AWS, and what its account has, asked by boto3 as anybody would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle import ec2
from rehearsal.aws.account import Account, open_account
from rehearsal.aws.calls import Call, read
from rehearsal.rack.store import Store
from tests.rehearsal.fleet import Fleet

Data = dict[str, Any]

REGION = "eu-central-1"
KEPT = "w3"
"""The host whose volume outlives the stack."""
CONTROL_PLANES, STORING, WANDERING = ["cp1", "cp2", "cp3"], ["w1", "w2", "w3"], ["web1"]
HOSTS = [*CONTROL_PLANES, *STORING, *WANDERING]


def small(data: Data) -> None:
    """The example with fewer hosts, and one volume that is kept."""
    for pool, hosts in (("workers", STORING), ("web", WANDERING)):
        machines = data["pools"][pool]["machines"]
        machines["hosts"] = {name: machines["hosts"][name] for name in hosts}
    data["pools"]["workers"]["machines"]["hosts"][KEPT]["data_volumes"]["data-1"]["keep"] = True


def retired(data: Data) -> None:
    small(data)
    data["cluster"]["retire"] = True


def copied(fleet: Fleet, folder: Path) -> Fleet:
    """The same fleet in a folder of its own, to do something to."""
    shutil.copytree(fleet.folder, folder / "aws")
    return Fleet(folder / "aws", fleet.stack)


def calls(fleet: Fleet) -> list[Call]:
    """All that was asked of AWS so far, in order."""
    return read(Store(fleet.folder).account)


@dataclass(frozen=True)
class Seen:
    """What the account has."""

    account: Account

    def ec2(self, operation: str, under: str, **asked: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = getattr(self.account.client("ec2", REGION), operation)(**asked)[under]
        return found

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """In one of these states, else all that have not ended."""
        among = states or ("pending", "running", "stopping", "stopped", "shutting-down")
        reservations = self.ec2("describe_instances", "Reservations")
        return [i for r in reservations for i in r["Instances"] if i["State"]["Name"] in among]

    def by_host(self, items: list[dict[str, Any]], what: str) -> dict[str, list[Any]]:
        """One fact of each item, by the host that it says it is of."""
        found: dict[str, list[Any]] = {}
        for item in items:
            tags = {t["Key"]: t["Value"] for t in item.get("Tags") or item.get("TagSet") or ()}
            if ec2.HOST_TAG in tags:
                found.setdefault(tags[ec2.HOST_TAG], []).append(item[what])
        return found

    def volumes(self) -> dict[str, str]:
        """The id of each host's data volume."""
        asked = [{"Name": "tag-key", "Values": [ec2.VOLUME_TAG]}]
        found = self.by_host(self.ec2("describe_volumes", "Volumes", Filters=asked), "VolumeId")
        return {host: ids[0] for host, ids in sorted(found.items()) if len(ids) == 1}

    def addresses(self) -> dict[str, str]:
        """The address of each host that has one for life."""
        interfaces = self.ec2("describe_network_interfaces", "NetworkInterfaces")
        own = [i for i in interfaces if not i.get("Attachment", {}).get("DeleteOnTermination")]
        return {host: ips[0] for host, ips in sorted(self.by_host(own, "PrivateIpAddress").items())}

    def everything(self) -> list[str]:
        """Whatever there is, in every service that a fleet uses; but not what each account has from the start, and
        no instance that is gone."""
        found = [f"instance {i['InstanceId']}" for i in self.instances()]
        for kind, operation, under, key in EC2_KINDS:
            items = self.ec2(operation, under)
            found += [f"{kind} {i[key]}" for i in items if i.get("State") != "deleted" and not _from_the_start(i)]
        default = {v["VpcId"] for v in self.ec2("describe_vpcs", "Vpcs") if v["IsDefault"]}
        for kind, operation, under, key in OF_A_VPC:
            items = self.ec2(operation, under)
            found += [f"{kind} {i[key]}" for i in items if i["VpcId"] not in default and not i.get("IsDefault")]
        return sorted([*found, *self._balancing(), *self._access()])

    def _balancing(self) -> Iterator[str]:
        elb, route53 = self.account.client("elbv2", REGION), self.account.client("route53", REGION)
        yield from (b["LoadBalancerArn"] for b in elb.describe_load_balancers()["LoadBalancers"])
        yield from (g["TargetGroupArn"] for g in elb.describe_target_groups()["TargetGroups"])
        yield from (f"zone {z['Name']}" for z in route53.list_hosted_zones()["HostedZones"])

    def _access(self) -> Iterator[str]:
        iam, s3 = self.account.client("iam", REGION), self.account.client("s3", REGION)
        yield from (f"role {r['RoleName']}" for r in iam.list_roles()["Roles"])
        yield from (f"profile {p['InstanceProfileName']}" for p in iam.list_instance_profiles()["InstanceProfiles"])
        yield from (f"policy {p['PolicyName']}" for p in iam.list_policies(Scope="Local")["Policies"])
        yield from (f"bucket {b['Name']}" for b in s3.list_buckets()["Buckets"])


EC2_KINDS = (
    ("vpc", "describe_vpcs", "Vpcs", "VpcId"),
    ("gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("NAT gateway", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("elastic address", "describe_addresses", "Addresses", "AllocationId"),
    ("endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("template", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
    ("placement group", "describe_placement_groups", "PlacementGroups", "GroupName"),
    ("volume", "describe_volumes", "Volumes", "VolumeId"),
    ("interface", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("key pair", "describe_key_pairs", "KeyPairs", "KeyName"),
)
OF_A_VPC = (
    ("subnet", "describe_subnets", "Subnets", "SubnetId"),
    ("route table", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("security group", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("network ACL", "describe_network_acls", "NetworkAcls", "NetworkAclId"),
)


def _from_the_start(item: dict[str, Any]) -> bool:
    return bool(item.get("IsDefault"))


@contextmanager
def seen(fleet: Fleet, seed: int = 1) -> Iterator[Seen]:
    """Look at the account that a fleet left. Whatever is done to it is forgotten."""
    with open_account(Store(fleet.folder).account, seed=seed, lasting=False) as account:
        yield Seen(account)

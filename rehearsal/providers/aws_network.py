"""The aws package's types of a network, as calls: VPC, subnets, gateways, routes, security groups, endpoints.

What replaces a resource and what changes in place is as the package's schema has it (pulumi_aws 7, that is the
terraform provider aws 6): a property without an entry in `changes` replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from rehearsal.providers.aws_kind import (
    Api,
    Change,
    Inputs,
    Kind,
    Made,
    found,
    given,
    tag_list,
    unless_gone,
    words,
)


def ec2_tags(resource: str, inputs: Inputs) -> Inputs:
    """The argument with which EC2 tags what it makes; empty without tags."""
    tags = tag_list(inputs.get("tags"))
    return {"TagSpecifications": [{"ResourceType": resource, "Tags": tags}]} if tags else {}


def retag(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    """Change the tags of anything of EC2."""
    before, now = old.get("tags") or {}, new.get("tags") or {}
    dropped = [{"Key": key} for key in sorted(before.keys() - now.keys())]
    if dropped:
        api.ec2.delete_tags(Resources=[made], Tags=dropped)
    changed = {k: v for k, v in now.items() if before.get(k) != v}
    if changed:
        api.ec2.create_tags(Resources=[made], Tags=tag_list(changed))


TAGS: Final[Mapping[str, Change]] = {"tags": retag}


def deletes(call: str, argument: str) -> Callable[[Api, str, Inputs], None]:
    """Delete by one call of EC2 with the id as that argument."""

    def delete(api: Api, made: str, old: Inputs) -> None:
        unless_gone(lambda: getattr(api.ec2, call)(**{argument: made}))

    return delete


def described(call: str, argument: str, under: str) -> Callable[[Api, str, Inputs], bool]:
    """Whether one call of EC2 describes it."""

    def exists(api: Api, made: str, old: Inputs) -> bool:
        return found(lambda: _alive(getattr(api.ec2, call)(**{argument: [made]})[under]))

    return exists


def _alive(items: list[dict[str, Any]]) -> bool:
    """NAT gateways are described for an hour after they are deleted."""
    return any(str(i.get("State", "")).lower() not in ("deleted", "deleting") for i in items)


# ---------------------------------------------------------------- VPC and subnets


def _vpc(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, CidrBlock="cidrBlock", InstanceTenancy="instanceTenancy")
    vpc = api.ec2.create_vpc(**asked, **ec2_tags("vpc", inputs))["Vpc"]["VpcId"]
    for name in ("enableDnsSupport", "enableDnsHostnames"):
        if inputs.get(name) is not None:
            _vpc_attribute(name)(api, vpc, {}, inputs)
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    groups = api.ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    tables = api.ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    outputs = {
        "arn": api.arn("ec2", f"vpc/{vpc}"),
        "ownerId": api.number,
        "defaultSecurityGroupId": groups[0]["GroupId"],
        "mainRouteTableId": tables[0]["RouteTableId"],
        "defaultRouteTableId": tables[0]["RouteTableId"],
    }
    return Made(vpc, outputs)


def _vpc_attribute(name: str) -> Change:
    def change(api: Api, made: str, old: Inputs, new: Inputs) -> None:
        asked = {name[:1].upper() + name[1:]: {"Value": bool(new.get(name))}}
        api.ec2.modify_vpc_attribute(VpcId=made, **asked)

    return change


def _subnet(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, VpcId="vpcId", CidrBlock="cidrBlock", AvailabilityZone="availabilityZone")
    made = api.ec2.create_subnet(**asked, **ec2_tags("subnet", inputs))["Subnet"]
    if inputs.get("mapPublicIpOnLaunch"):
        _public_addresses(api, made["SubnetId"], {}, inputs)
    outputs = {
        "arn": api.arn("ec2", f"subnet/{made['SubnetId']}"),
        "availabilityZone": made["AvailabilityZone"],
        "availabilityZoneId": made.get("AvailabilityZoneId", ""),
        "ownerId": api.number,
    }
    return Made(made["SubnetId"], outputs)


def _public_addresses(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    on = {"Value": bool(new.get("mapPublicIpOnLaunch"))}
    api.ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch=on)


# ---------------------------------------------------------------- gateways and routes


def _internet_gateway(api: Api, inputs: Inputs) -> Made:
    gateway = api.ec2.create_internet_gateway(**ec2_tags("internet-gateway", inputs))["InternetGateway"]
    made = gateway["InternetGatewayId"]
    if inputs.get("vpcId"):
        api.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
    return Made(made, {"arn": api.arn("ec2", f"internet-gateway/{made}"), "ownerId": api.number})


def _internet_gateway_goes(api: Api, made: str, old: Inputs) -> None:
    if old.get("vpcId"):
        unless_gone(lambda: api.ec2.detach_internet_gateway(InternetGatewayId=made, VpcId=old["vpcId"]))
    unless_gone(lambda: api.ec2.delete_internet_gateway(InternetGatewayId=made))


def _eip(api: Api, inputs: Inputs) -> Made:
    made = api.ec2.allocate_address(Domain=inputs.get("domain", "vpc"), **ec2_tags("elastic-ip", inputs))
    allocation = made["AllocationId"]
    outputs = {
        "allocationId": allocation,
        "publicIp": made["PublicIp"],
        "arn": api.arn("ec2", f"elastic-ip/{allocation}"),
    }
    return Made(allocation, outputs)


def _nat_gateway(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, SubnetId="subnetId", AllocationId="allocationId", ConnectivityType="connectivityType")
    made = api.ec2.create_nat_gateway(**asked, **ec2_tags("natgateway", inputs))["NatGateway"]
    addresses = made.get("NatGatewayAddresses") or [{}]
    return Made(made["NatGatewayId"], {"publicIp": addresses[0].get("PublicIp", "")})


ROUTE: Final = {
    "DestinationCidrBlock": "destinationCidrBlock",
    "DestinationPrefixListId": "destinationPrefixListId",
    "GatewayId": "gatewayId",
    "NatGatewayId": "natGatewayId",
    "NetworkInterfaceId": "networkInterfaceId",
    "VpcEndpointId": "vpcEndpointId",
}
INLINE_ROUTE: Final = {**ROUTE, "DestinationCidrBlock": "cidrBlock"}


def _route_table(api: Api, inputs: Inputs) -> Made:
    made = api.ec2.create_route_table(VpcId=inputs["vpcId"], **ec2_tags("route-table", inputs))["RouteTable"]
    table = made["RouteTableId"]
    for route in inputs.get("routes") or ():
        api.ec2.create_route(RouteTableId=table, **given(route, **INLINE_ROUTE))
    return Made(table, {"arn": api.arn("ec2", f"route-table/{table}"), "ownerId": api.number})


def _routes(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    before, now = old.get("routes") or [], new.get("routes") or []
    for to in (r["cidrBlock"] for r in before if r not in now):
        unless_gone(partial(api.ec2.delete_route, RouteTableId=made, DestinationCidrBlock=to))
    for route in (r for r in now if r not in before):
        api.ec2.create_route(RouteTableId=made, **given(route, **INLINE_ROUTE))


def _route(api: Api, inputs: Inputs) -> Made:
    table, to = inputs["routeTableId"], inputs["destinationCidrBlock"]
    api.ec2.create_route(RouteTableId=table, **given(inputs, **ROUTE))
    return Made(f"r-{table}-{to}", {"origin": "CreateRoute", "state": "active"})


def _route_goes(api: Api, made: str, old: Inputs) -> None:
    table, to = old["routeTableId"], old["destinationCidrBlock"]
    unless_gone(lambda: api.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=to))


def _route_is(api: Api, made: str, old: Inputs) -> bool:
    def ask() -> object:
        (table,) = api.ec2.describe_route_tables(RouteTableIds=[old["routeTableId"]])["RouteTables"]
        return [r for r in table["Routes"] if r.get("DestinationCidrBlock") == old["destinationCidrBlock"]]

    return found(ask)


def _association(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, RouteTableId="routeTableId", SubnetId="subnetId", GatewayId="gatewayId")
    return Made(api.ec2.associate_route_table(**asked)["AssociationId"])


def _association_is(api: Api, made: str, old: Inputs) -> bool:
    asked = [{"Name": "association.route-table-association-id", "Values": [made]}]
    return bool(api.ec2.describe_route_tables(Filters=asked)["RouteTables"])


# ---------------------------------------------------------------- endpoints

ENDPOINT: Final = {
    "VpcId": "vpcId",
    "ServiceName": "serviceName",
    "VpcEndpointType": "vpcEndpointType",
    "RouteTableIds": "routeTableIds",
    "SubnetIds": "subnetIds",
    "SecurityGroupIds": "securityGroupIds",
    "PrivateDnsEnabled": "privateDnsEnabled",
    "PolicyDocument": "policy",
}


def _endpoint(api: Api, inputs: Inputs) -> Made:
    asked = {"VpcEndpointType": "Gateway", **given(inputs, **ENDPOINT)}
    made = api.ec2.create_vpc_endpoint(**asked, **ec2_tags("vpc-endpoint", inputs))["VpcEndpoint"]["VpcEndpointId"]
    return Made(made, {"arn": api.arn("ec2", f"vpc-endpoint/{made}"), "state": "available", "ownerId": api.number})


def _endpoint_goes(api: Api, made: str, old: Inputs) -> None:
    unless_gone(lambda: api.ec2.delete_vpc_endpoints(VpcEndpointIds=[made]))


def _endpoint_changes(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    asked: Inputs = {"PolicyDocument": new["policy"]} if new.get("policy") else {"ResetPolicy": True}
    for name, argument in (("routeTableIds", "RouteTableIds"), ("subnetIds", "SubnetIds")):
        before, now = set(old.get(name) or ()), set(new.get(name) or ())
        asked |= {f"Add{argument}": sorted(now - before)} if now - before else {}
        asked |= {f"Remove{argument}": sorted(before - now)} if before - now else {}
    api.ec2.modify_vpc_endpoint(VpcEndpointId=made, **asked)


# ---------------------------------------------------------------- security groups


def _group(api: Api, inputs: Inputs) -> Made:
    described_as = inputs.get("description") or "Managed by Pulumi"
    asked = {"GroupName": inputs["name"], "Description": described_as, **given(inputs, VpcId="vpcId")}
    group = api.ec2.create_security_group(**asked, **ec2_tags("security-group", inputs))["GroupId"]
    # AWS lets everything out of a new group; the package takes that rule away, so that only what is said is so.
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    api.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    return Made(group, {"arn": api.arn("ec2", f"security-group/{group}"), "ownerId": api.number})


def _permission(inputs: Inputs) -> list[Inputs]:
    found_in = given(inputs, IpProtocol="ipProtocol", FromPort="fromPort", ToPort="toPort")
    said = {"Description": inputs["description"]} if inputs.get("description") else {}
    if inputs.get("cidrIpv4"):
        found_in["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **said}]
    if inputs.get("cidrIpv6"):
        found_in["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **said}]
    if inputs.get("prefixListId"):
        found_in["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **said}]
    if inputs.get("referencedSecurityGroupId"):
        found_in["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **said}]
    return [found_in]


def _rule(way: str) -> Callable[[Api, Inputs], Made]:
    def create(api: Api, inputs: Inputs) -> Made:
        asked = {"GroupId": inputs["securityGroupId"], "IpPermissions": _permission(inputs)}
        tags = ec2_tags("security-group-rule", inputs)
        made = getattr(api.ec2, f"authorize_security_group_{way}")(**asked, **tags)["SecurityGroupRules"][0]
        rule = made["SecurityGroupRuleId"]
        return Made(rule, {"securityGroupRuleId": rule, "arn": api.arn("ec2", f"security-group-rule/{rule}")})

    return create


def _rule_goes(way: str) -> Callable[[Api, str, Inputs], None]:
    def delete(api: Api, made: str, old: Inputs) -> None:
        group = old["securityGroupId"]
        revoke = getattr(api.ec2, f"revoke_security_group_{way}")
        unless_gone(lambda: revoke(GroupId=group, SecurityGroupRuleIds=[made]))

    return delete


RULE: Final = words(
    "securityGroupId ipProtocol fromPort toPort cidrIpv4 cidrIpv6 prefixListId referencedSecurityGroupId description"
)
"""The package modifies some of these in place; here any other rule is another rule, which lets the same through."""


def _rules(way: str) -> Kind:
    exists = described("describe_security_group_rules", "SecurityGroupRuleIds", "SecurityGroupRules")
    return Kind(_rule(way), _rule_goes(way), exists, RULE, TAGS)


KINDS: Final[Mapping[str, Kind]] = {
    "aws:ec2/vpc:Vpc": Kind(
        _vpc,
        deletes("delete_vpc", "VpcId"),
        described("describe_vpcs", "VpcIds", "Vpcs"),
        words("cidrBlock instanceTenancy"),
        {**TAGS, **{name: _vpc_attribute(name) for name in ("enableDnsSupport", "enableDnsHostnames")}},
    ),
    "aws:ec2/subnet:Subnet": Kind(
        _subnet,
        deletes("delete_subnet", "SubnetId"),
        described("describe_subnets", "SubnetIds", "Subnets"),
        words("vpcId cidrBlock availabilityZone"),
        {**TAGS, "mapPublicIpOnLaunch": _public_addresses},
    ),
    "aws:ec2/internetGateway:InternetGateway": Kind(
        _internet_gateway,
        _internet_gateway_goes,
        described("describe_internet_gateways", "InternetGatewayIds", "InternetGateways"),
        words("vpcId"),
        TAGS,
    ),
    "aws:ec2/eip:Eip": Kind(
        _eip,
        deletes("release_address", "AllocationId"),
        described("describe_addresses", "AllocationIds", "Addresses"),
        words("domain"),
        TAGS,
    ),
    "aws:ec2/natGateway:NatGateway": Kind(
        _nat_gateway,
        deletes("delete_nat_gateway", "NatGatewayId"),
        described("describe_nat_gateways", "NatGatewayIds", "NatGateways"),
        words("subnetId allocationId connectivityType"),
        TAGS,
    ),
    "aws:ec2/routeTable:RouteTable": Kind(
        _route_table,
        deletes("delete_route_table", "RouteTableId"),
        described("describe_route_tables", "RouteTableIds", "RouteTables"),
        words("vpcId"),
        {**TAGS, "routes": _routes},
    ),
    "aws:ec2/route:Route": Kind(
        _route,
        _route_goes,
        _route_is,
        words("routeTableId destinationCidrBlock gatewayId natGatewayId networkInterfaceId vpcEndpointId"),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        _association,
        deletes("disassociate_route_table", "AssociationId"),
        _association_is,
        words("routeTableId subnetId gatewayId"),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(
        _endpoint,
        _endpoint_goes,
        described("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"),
        words("vpcId serviceName vpcEndpointType privateDnsEnabled securityGroupIds"),
        {**TAGS, **dict.fromkeys(("policy", "routeTableIds", "subnetIds"), _endpoint_changes)},
    ),
    "aws:ec2/securityGroup:SecurityGroup": Kind(
        _group,
        deletes("delete_security_group", "GroupId"),
        described("describe_security_groups", "GroupIds", "SecurityGroups"),
        words("name description vpcId revokeRulesOnDelete"),
        TAGS,
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rules("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rules("egress"),
}

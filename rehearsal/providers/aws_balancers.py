"""The aws package's types of a load balancer, as calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rehearsal.providers.aws_kind import (
    Api,
    Change,
    Inputs,
    Kind,
    Made,
    found,
    given,
    plain,
    shaped,
    tag_list,
    unless_gone,
    words,
)

BALANCER_ATTRIBUTES: Final = {
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
}
GROUP_ATTRIBUTES: Final = {
    "connectionTermination": "deregistration_delay.connection_termination.enabled",
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "preserveClientIp": "preserve_client_ip.enabled",
    "proxyProtocolV2": "proxy_protocol_v2.enabled",
}
HEALTH: Final = {
    "Enabled": "HealthCheckEnabled",
    "HealthyThreshold": "HealthyThresholdCount",
    "Interval": "HealthCheckIntervalSeconds",
    "Path": "HealthCheckPath",
    "Port": "HealthCheckPort",
    "Protocol": "HealthCheckProtocol",
    "Timeout": "HealthCheckTimeoutSeconds",
    "UnhealthyThreshold": "UnhealthyThresholdCount",
}


def _attributes(names: Mapping[str, str], inputs: Inputs) -> list[dict[str, str]]:
    values = {key: plain(inputs[name]) for name, key in names.items() if inputs.get(name) is not None}
    return [{"Key": key, "Value": str(value).lower()} for key, value in values.items()]


def _retag(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    before, now = old.get("tags") or {}, new.get("tags") or {}
    if before.keys() - now.keys():
        api.elb.remove_tags(ResourceArns=[made], TagKeys=sorted(before.keys() - now.keys()))
    if now:
        api.elb.add_tags(ResourceArns=[made], Tags=tag_list(now))


def _tagged(inputs: Inputs) -> Inputs:
    return {"Tags": tag_list(inputs["tags"])} if inputs.get("tags") else {}


# ---------------------------------------------------------------- the balancer


def _balancer(api: Api, inputs: Inputs) -> Made:
    asked = given(
        inputs,
        Name="name",
        Subnets="subnets",
        SecurityGroups="securityGroups",
        Type="loadBalancerType",
        IpAddressType="ipAddressType",
    )
    if inputs.get("subnetMappings"):
        asked["SubnetMappings"] = shaped(inputs["subnetMappings"])
    scheme = "internal" if inputs.get("internal") else "internet-facing"
    made = api.elb.create_load_balancer(**asked, Scheme=scheme, **_tagged(inputs))["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    _balancer_attributes(api, arn, {}, inputs)
    outputs = {
        "arn": arn,
        "arnSuffix": arn.partition(":loadbalancer/")[2],
        "dnsName": made["DNSName"],
        "zoneId": made["CanonicalHostedZoneId"],
        "vpcId": made["VpcId"],
    }
    return Made(arn, outputs)


def _balancer_attributes(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    attributes = _attributes(BALANCER_ATTRIBUTES, new)
    if attributes:
        api.elb.modify_load_balancer_attributes(LoadBalancerArn=made, Attributes=attributes)


def _balancer_groups(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.elb.set_security_groups(LoadBalancerArn=made, SecurityGroups=new["securityGroups"])


# ---------------------------------------------------------------- target groups


def _group(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, Name="name", Protocol="protocol", Port="port", VpcId="vpcId", TargetType="targetType")
    made = api.elb.create_target_group(**asked, **_health(inputs), **_tagged(inputs))["TargetGroups"][0]
    arn = made["TargetGroupArn"]
    _group_attributes(api, arn, {}, inputs)
    return Made(arn, {"arn": arn, "arnSuffix": arn.partition(":")[2].rpartition(":")[2]})


def _health(inputs: Inputs) -> dict[str, Any]:
    said = shaped(inputs.get("healthCheck") or {})
    matcher = {"Matcher": {"HttpCode": said.pop("Matcher")}} if "Matcher" in said else {}
    return {**{HEALTH[key]: value for key, value in said.items()}, **matcher}


def _group_health(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.elb.modify_target_group(TargetGroupArn=made, **_health(new))


def _group_attributes(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    attributes = _attributes(GROUP_ATTRIBUTES, new)
    if attributes:
        api.elb.modify_target_group_attributes(TargetGroupArn=made, Attributes=attributes)


# ---------------------------------------------------------------- listeners and targets


def _actions(inputs: Inputs) -> list[dict[str, Any]]:
    return [given(a, Type="type", TargetGroupArn="targetGroupArn", Order="order") for a in inputs["defaultActions"]]


def _listener(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, LoadBalancerArn="loadBalancerArn", Port="port", Protocol="protocol")
    made = api.elb.create_listener(**asked, DefaultActions=_actions(inputs), **_tagged(inputs))["Listeners"][0]
    return Made(made["ListenerArn"], {"arn": made["ListenerArn"]})


def _listener_changes(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    asked = given(new, Port="port", Protocol="protocol")
    api.elb.modify_listener(ListenerArn=made, **asked, DefaultActions=_actions(new))


def _target(inputs: Inputs) -> list[dict[str, Any]]:
    return [given(inputs, Id="targetId", Port="port", AvailabilityZone="availabilityZone")]


def _registration(api: Api, inputs: Inputs) -> Made:
    group, target = inputs["targetGroupArn"], inputs["targetId"]
    api.elb.register_targets(TargetGroupArn=group, Targets=_target(inputs))
    return Made(f"{group}-{target}")


def _registration_goes(api: Api, made: str, old: Inputs) -> None:
    unless_gone(lambda: api.elb.deregister_targets(TargetGroupArn=old["targetGroupArn"], Targets=_target(old)))


def _registration_is(api: Api, made: str, old: Inputs) -> bool:
    def ask() -> object:
        health = api.elb.describe_target_health(TargetGroupArn=old["targetGroupArn"])["TargetHealthDescriptions"]
        return [h for h in health if h["Target"]["Id"] == old["targetId"]]

    return found(ask)


def _tags(**changes: Change) -> Mapping[str, Change]:
    return {"tags": _retag, **changes}


KINDS: Final[Mapping[str, Kind]] = {
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        _balancer,
        lambda api, made, old: unless_gone(lambda: api.elb.delete_load_balancer(LoadBalancerArn=made)),
        lambda api, made, old: found(lambda: api.elb.describe_load_balancers(LoadBalancerArns=[made])),
        words("name internal loadBalancerType ipAddressType subnets subnetMappings"),
        _tags(securityGroups=_balancer_groups, **dict.fromkeys(BALANCER_ATTRIBUTES, _balancer_attributes)),
    ),
    "aws:lb/targetGroup:TargetGroup": Kind(
        _group,
        lambda api, made, old: unless_gone(lambda: api.elb.delete_target_group(TargetGroupArn=made)),
        lambda api, made, old: found(lambda: api.elb.describe_target_groups(TargetGroupArns=[made])),
        words("name protocol port vpcId targetType"),
        _tags(healthCheck=_group_health, **dict.fromkeys(GROUP_ATTRIBUTES, _group_attributes)),
    ),
    "aws:lb/listener:Listener": Kind(
        _listener,
        lambda api, made, old: unless_gone(lambda: api.elb.delete_listener(ListenerArn=made)),
        lambda api, made, old: found(lambda: api.elb.describe_listeners(ListenerArns=[made])),
        words("loadBalancerArn"),
        _tags(**dict.fromkeys(("port", "protocol", "defaultActions"), _listener_changes)),
    ),
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": Kind(
        _registration,
        _registration_goes,
        _registration_is,
        words("targetGroupArn targetId port availabilityZone"),
    ),
}

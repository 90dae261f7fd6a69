"""The aws package's types of Route 53, as calls: private zones and records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rehearsal.providers.aws_kind import Api, Inputs, Kind, Made, found, given, plain, tag_list, unless_gone, words


def _zone(api: Api, inputs: Inputs) -> Made:
    name, vpcs = inputs["name"], inputs.get("vpcs") or []
    asked: Inputs = {"Name": name, "CallerReference": " ".join([name, *(vpc["vpcId"] for vpc in vpcs)])}
    if vpcs:
        first = vpcs[0]
        asked["VPC"] = {"VPCId": first["vpcId"], "VPCRegion": first.get("vpcRegion") or api.region}
        asked["HostedZoneConfig"] = {"Comment": inputs.get("comment") or "Managed by Pulumi", "PrivateZone": True}
    made = api.route53.create_hosted_zone(**asked)
    zone = str(made["HostedZone"]["Id"]).rpartition("/")[2]
    for other in vpcs[1:]:
        vpc = {"VPCId": other["vpcId"], "VPCRegion": other.get("vpcRegion") or api.region}
        api.route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=vpc)
    if inputs.get("tags"):
        _retag(api, zone, {}, inputs)
    servers = (made.get("DelegationSet") or {}).get("NameServers") or []
    return Made(zone, {"zoneId": zone, "arn": f"arn:aws:route53:::hostedzone/{zone}", "nameServers": servers})


def _retag(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    before, now = old.get("tags") or {}, new.get("tags") or {}
    asked: Inputs = {"AddTags": tag_list(now)} if now else {}
    if before.keys() - now.keys():
        asked["RemoveTagKeys"] = sorted(before.keys() - now.keys())
    api.route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=made, **asked)


def _commented(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.route53.update_hosted_zone_comment(Id=made, **given(new, Comment="comment"))


def _record_set(api: Api, inputs: Inputs) -> dict[str, Any]:
    of: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
    for alias in inputs.get("aliases") or ():
        target = {"DNSName": alias["name"], "HostedZoneId": alias["zoneId"]}
        of["AliasTarget"] = {**target, "EvaluateTargetHealth": bool(alias["evaluateTargetHealth"])}
    if inputs.get("records"):
        of |= {"TTL": plain(inputs["ttl"]), "ResourceRecords": [{"Value": value} for value in inputs["records"]]}
    return of


def _change(api: Api, zone: str, action: str, inputs: Inputs) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": _record_set(api, inputs)}]}
    api.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)


def _record(api: Api, inputs: Inputs) -> Made:
    zone, name, kind = inputs["zoneId"], inputs["name"], inputs["type"]
    _change(api, zone, "UPSERT" if inputs.get("allowOverwrite") else "CREATE", inputs)
    return Made(f"{zone}_{name}_{kind}", {"fqdn": name})


def _record_leads(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    _change(api, new["zoneId"], "UPSERT", new)


def _record_goes(api: Api, made: str, old: Inputs) -> None:
    if _record_is(api, made, old):
        _change(api, old["zoneId"], "DELETE", old)


def _record_is(api: Api, made: str, old: Inputs) -> bool:
    def ask() -> object:
        sets = api.route53.list_resource_record_sets(HostedZoneId=old["zoneId"])["ResourceRecordSets"]
        return [s for s in sets if s["Name"].rstrip(".") == old["name"].rstrip(".") and s["Type"] == old["type"]]

    return found(ask)


KINDS: Final[Mapping[str, Kind]] = {
    "aws:route53/zone:Zone": Kind(
        _zone,
        lambda api, made, old: unless_gone(lambda: api.route53.delete_hosted_zone(Id=made)),
        lambda api, made, old: found(lambda: api.route53.get_hosted_zone(Id=made)),
        words("name vpcs"),
        {"tags": _retag, "comment": _commented},
    ),
    "aws:route53/record:Record": Kind(
        _record,
        _record_goes,
        _record_is,
        words("zoneId name type"),
        dict.fromkeys(("records", "ttl", "aliases", "allowOverwrite"), _record_leads),
    ),
}

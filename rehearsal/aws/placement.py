"""Placement groups, which moto does not have: the three calls of the API that a fleet makes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from rehearsal.aws.calls import Call

Parameters = Mapping[str, Any]


class Refusal(NamedTuple):
    """Why AWS would not do it."""

    code: str
    message: str


UNKNOWN: Final = "InvalidPlacementGroup.Unknown"


class PlacementGroups:
    """Those of one account, by region and name. used: the groups that instances of a region are in."""

    def __init__(self, used: Callable[[str], Iterable[str]]) -> None:
        self._groups: dict[tuple[str, str], dict[str, Any]] = {}
        self._used = used

    def knows(self, region: str, name: str) -> bool:
        return (region, name) in self._groups

    def answer(self, call: Call) -> dict[str, Any] | Refusal | None:
        """To a call about placement groups; None to all others."""
        answers = {
            "CreatePlacementGroup": self._create,
            "DescribePlacementGroups": self._describe,
            "DeletePlacementGroup": self._delete,
        }
        answer = answers.get(call.operation)
        return answer(call.region, call.parameters) if answer is not None else None

    def _create(self, region: str, asked: Parameters) -> dict[str, Any] | Refusal:
        name = asked["GroupName"]
        if self.knows(region, name):
            return Refusal("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        if asked.get("PartitionCount") and asked.get("Strategy") != "partition":
            return Refusal("InvalidParameterCombination", "PartitionCount is for the strategy partition alone.")
        tags = [tag for spec in asked.get("TagSpecifications", ()) for tag in spec["Tags"]]
        group = {
            "GroupId": f"pg-{hashlib.sha256(f'{region}/{name}'.encode()).hexdigest()[:17]}",
            "GroupName": name,
            "State": "available",
            "Strategy": asked.get("Strategy", "cluster"),
            "Tags": tags,
        }
        group |= {key: asked[key] for key in ("PartitionCount", "SpreadLevel") if key in asked}
        self._groups[region, name] = group
        return {"PlacementGroup": group}

    def _describe(self, region: str, asked: Parameters) -> dict[str, Any] | Refusal:
        names = asked.get("GroupNames") or [name for of, name in self._groups if of == region]
        for name in names:
            if not self.knows(region, name):
                return self._none(name)
        groups = [self._groups[region, name] for name in names]
        return {"PlacementGroups": [g for g in groups if _fits(g, asked.get("Filters", ()))]}

    def _delete(self, region: str, asked: Parameters) -> dict[str, Any] | Refusal:
        name = asked["GroupName"]
        if not self.knows(region, name):
            return self._none(name)
        if name in self._used(region):
            return Refusal("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use.")
        del self._groups[region, name]
        return {}

    def _none(self, name: str) -> Refusal:
        return Refusal(UNKNOWN, f"The Placement Group '{name}' is unknown.")


def _fits(group: Mapping[str, Any], filters: Iterable[Mapping[str, Any]]) -> bool:
    """Filters by tag, by name and by state, which are those that anybody here asks by."""
    tags = {f"tag:{tag['Key']}": tag["Value"] for tag in group["Tags"]}
    facts = {**tags, "group-name": group["GroupName"], "state": group["State"]}
    return all(facts.get(f["Name"]) in f["Values"] for f in filters)

"""The fleet of tests/components/boot/fleet.py on AWS, and the locks it may have."""

from __future__ import annotations

from typing import Any, Final

from tests.components.boot.fleet import changed, fleet

REGION: Final = "eu-central-1"
W1: Final = "pools/hci/machines/hosts/w1"


def aws_fleet() -> dict[str, Any]:
    """Three control planes and three workers that store, one a zone; and two that may be in any."""

    def host(i: int) -> dict[str, Any]:
        return {"zones": [f"{REGION}{'abc'[i - 1]}"]}

    def machines(hosts: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "aws", "instance_types": ["m7i.xlarge", "m6i.xlarge"], "hosts": hosts}

    made = fleet()
    zones = [f"{REGION}{letter}" for letter in "abc"]
    made["aws"] = {"region": REGION, "network": {"kind": "own", "cidr": "10.20.0.0/16", "zones": zones}}
    made["boot_store"] = {"kind": "s3", "bucket": "fleet-boot"}
    volumes = {"data_volumes": {"b": {"gib": 10}, "a": {"gib": 20}}}
    made = changed(made, "pools/control/machines", machines({f"c{i}": host(i) for i in (1, 2, 3)}))
    made = changed(made, "pools/hci/machines", machines({f"w{i}": host(i) | volumes for i in (1, 2, 3)}))
    web = {"role": "worker", "machines": machines({f"x{i}": {"zones": zones} for i in (1, 2)})}
    found: dict[str, Any] = changed(made, "pools/web", web)
    return found

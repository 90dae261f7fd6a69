"""Hosts that are EC2 instances: when one comes up, when it is gone, and what on the rack follows from that.

An instance is made and ended by calls to the rack's account (rehearsal/aws); here the host follows what the account
has of it, whoever asked for it, and whether or not the run that did lived to see it.

Assumptions. An instance is `pending` for 10 to 30 s and `shutting-down` for 20 to 60 s (the EC2 user guide names the
states and no times; AWS's own figure for a Linux instance that is ready to use is about a minute). Its system boots
in 20 to 40 s more, with no firmware and no installer before it: the root volume is made of the image. Its status
checks are not modelled. Data volumes are there before it and after it.

In a power cut an instance is `stopped`, and started again by EC2 without anybody's call: with its id, its addresses,
its root and its data volumes, and nothing of its memory (EC2 user guide, "Automatic instance recovery": a recovered
instance is identical to the original one). It is `stopped` for as long as the power is away, although EC2 may list one
that is being recovered as running all the time: it is the harder of the two for a step that looks. One that was
being terminated stays so. A first boot that was cut off is begun again, as Ignition's is until it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lifecycle import ec2
from lifecycle.ports import Progress
from rehearsal.aws.calls import Call
from rehearsal.aws.placement import Refusal
from rehearsal.rack import hosts
from rehearsal.rack.on_aws import OnAws
from rehearsal.rack.world import Event, Host

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

PENDING_S = (10.0, 30.0)
ENDING_S = (20.0, 60.0)
BOOT_S = (20.0, 40.0)
RETRY_S = 30.0

ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""As EC2 names them."""
NO_CAPACITY = "InsufficientInstanceCapacity"
THROTTLED = "RequestLimitExceeded"
OF_ITSELF = "Client.InternalError"
"""EC2 user guide, "Instance terminates immediately": such as a root volume whose key may not be used."""


def mirror(rack: Rack, name: str, url: str) -> None:
    """Let the host follow its instances: one that was launched, one that is being terminated, and the volumes that
    it was given. Lock held."""
    host, place = rack.world.hosts[name], ec2.place(url)
    host.url = url
    for one in _instances(rack, place):
        instance, state = one["InstanceId"], one["State"]["Name"]
        if state in ("pending", "running") and instance != host.instance:
            _launched(rack, host, one)
        if state == "shutting-down" and instance != host.ending:
            host.ending = instance
            rack.later(rack.draw(*ENDING_S, name, host.boots, "ends"), "instance-ends", name, host.boots)
    for volume in _volumes(rack, place, host.instance):
        host.markers.setdefault(volume, f"{name} data")


def mirror_all(rack: Rack) -> None:
    """The same for every host on EC2 that is declared or claimed: what a dead run asked for goes on."""
    urls = {name: claim.controller.url for name, claim in rack.world.claims.items()}
    urls |= {name: pin.controller.url for name, pin in rack.pins.items()}
    for name, url in urls.items():
        if url.startswith(f"{ec2.SCHEME}:"):
            mirror(rack, name, url)


def publish_images(rack: Rack) -> None:
    """Whatever is pinned can be launched, in its region, and says which release it is."""
    for pin in rack.pins.values():
        of = pin.particulars
        if rack.aws is not None and isinstance(of, ec2.Instance):
            rack.aws.account.publish_image(of.region, of.ami, ARCHITECTURES[pin.architecture], pin.os_image)


def strikes(rack: Rack, call: Call) -> Refusal | None:
    """What a fault that was asked for says to this call."""
    if rack.faults.call_throttled(call.operation):
        return Refusal(THROTTLED, "Request limit exceeded.")
    if call.operation == "RunInstances":
        asked = (str(call.parameters.get("InstanceType", "")), _zone(rack, call))
        if any(rack.faults.active("no-capacity", what) for what in asked):
            return Refusal(NO_CAPACITY, f"We currently do not have sufficient {asked[0]} capacity in {asked[1]}.")
    return None


# ---------------------------------------------------------------- what the account has


def _aws(rack: Rack) -> OnAws:
    if rack.aws is None:
        raise RuntimeError("expected a rack with an AWS account: one of its hosts is on EC2")
    return rack.aws


def _instances(rack: Rack, place: ec2.Place) -> list[dict[str, Any]]:
    """Of one host, the oldest first."""
    filters = _tagged(ec2.tags(_aws(rack).stack, place.cluster, place.host))
    with _aws(rack).looking(place.region) as client:
        found = client.describe_instances(Filters=filters)["Reservations"]
    return sorted((i for r in found for i in r["Instances"]), key=lambda i: (i["LaunchTime"], i["InstanceId"]))


def _volumes(rack: Rack, place: ec2.Place, instance: str) -> Iterable[str]:
    """The data volumes that an instance has."""
    filters = _tagged(ec2.tags(_aws(rack).stack, place.cluster, place.host))
    filters += [
        {"Name": "tag-key", "Values": [ec2.VOLUME_TAG]},
        {"Name": "attachment.instance-id", "Values": [instance]},
    ]
    with _aws(rack).looking(place.region) as client:
        found = client.describe_volumes(Filters=filters)["Volumes"] if instance else ()
    return sorted(v["VolumeId"] for v in found)


def _tagged(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_filter(f"tag:{key}", value) for key, value in tags.items()]


def _filter(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Values": [value]}


def _zone(rack: Rack, call: Call) -> str:
    """Where a launch would be."""
    with _aws(rack).looking(call.region) as client:
        for interface in call.parameters.get("NetworkInterfaces", ()):
            found = client.describe_network_interfaces(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])
            return str(found["NetworkInterfaces"][0]["AvailabilityZone"])
        found = client.describe_subnets(SubnetIds=[call.parameters["SubnetId"]])
    return str(found["Subnets"][0]["AvailabilityZone"])


# ---------------------------------------------------------------- what the host makes of it


def _launched(rack: Rack, host: Host, one: Mapping[str, Any]) -> None:
    """A new machine, empty but for its image: nothing of what ran here before is on it, but for its volumes."""
    if host.power == "on":
        hosts.stop(rack, host)
    pin = rack.pins.get(host.name)
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    with _aws(rack).looking(ec2.place(host.url).region) as client:
        (image,) = client.describe_images(ImageIds=[one["ImageId"]])["Images"]
    host.instance, host.power, host.progress = one["InstanceId"], "on", Progress.NONE
    host.boots += 1
    host.installs += 1
    host.credentials, host.joined, host.member = "", False, False  # nothing of what was on another root
    host.machine_id = f"{host.name}-{host.installs:03d}"
    host.generation, host.os_image = tags.get(ec2.GENERATION_TAG, ""), image["Name"]
    host.fault_domain = one["Placement"]["AvailabilityZone"]
    if pin is not None:
        host.kubelet, host.way, host.holds = pin.kubelet, pin.way, pin.way
    rack.later(rack.draw(*PENDING_S, host.name, host.boots, "pending"), "instance-runs", host.name, host.boots)


def loses_power(rack: Rack, host: Host) -> None:
    """With the whole fleet (rehearsal/rack/outage.py)."""
    _happens(rack, host, "stops", host.instance)


def starts_again(rack: Rack, host: Host) -> float | None:
    """After how long its system runs again; None for one that was terminated meanwhile."""
    if not any(i["InstanceId"] == host.instance and i["State"]["Name"] == "stopped" for i in _of(rack, host)):
        return None
    _happens(rack, host, "starts", host.instance)
    host.power = "on"
    host.boots += 1
    pending_s = rack.draw(*PENDING_S, host.name, host.boots, "pending")
    rack.later(pending_s, "instance-runs-again", host.name, host.boots)
    return pending_s + rack.draw(*BOOT_S, host.name, host.boots, "boot")


def _of(rack: Rack, host: Host) -> list[dict[str, Any]]:
    return _instances(rack, ec2.place(host.url))


def _runs_again(rack: Rack, event: Event) -> None:
    host = hosts.current(rack, event)
    if host is not None:
        _happens(rack, host, "runs", host.instance)
        rack.changed(f"host/{host.name}")


def _runs(rack: Rack, event: Event) -> None:
    host = hosts.current(rack, event)
    if host is None:
        return
    _happens(rack, host, "runs", host.instance)
    if rack.faults.active("terminates", host.name):
        host.ending = host.instance
        rack.later(rack.draw(*ENDING_S, host.name, host.boots, "ends"), "instance-ends", host.name, host.boots)
    else:
        rack.later(rack.draw(*BOOT_S, host.name, host.boots, "boot"), "instance-boots", host.name, host.boots)
    rack.changed(f"host/{host.name}")


def _boots(rack: Rack, event: Event) -> None:
    host = hosts.current(rack, event)
    if host is not None and rack.faults.active("never-boots", host.name):
        rack.later(RETRY_S, "instance-boots", host.name, host.boots)
    elif host is not None:
        rack.later(0, "running", host.name, host.boots)


def _ends(rack: Rack, event: Event) -> None:
    host = rack.world.hosts[event.subject]
    held = rack.faults.active("volume-attached", host.name)
    because = OF_ITSELF if rack.faults.active("terminates", host.name) else ""
    _happens(rack, host, "ends", host.ending, because=because, holds="volumes" if held else "")
    if host.ending == host.instance and host.power == "on":
        hosts.stop(rack, host)
    if held:
        rack.later(RETRY_S, "instance-lets-go", host.name)
    rack.changed(f"host/{host.name}")


def _lets_go(rack: Rack, event: Event) -> None:
    host = rack.world.hosts[event.subject]
    if rack.faults.active("volume-attached", host.name):
        rack.later(RETRY_S, "instance-lets-go", host.name)
        return
    _happens(rack, host, "lets-go", host.ending)
    rack.changed(f"host/{host.name}")


def _happens(rack: Rack, host: Host, what: str, instance: str, **facts: str) -> None:
    _aws(rack).account.happens(ec2.place(host.url).region, what, instance=instance, **facts)


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {
    "instance-runs": _runs,
    "instance-runs-again": _runs_again,
    "instance-boots": _boots,
    "instance-ends": _ends,
    "instance-lets-go": _lets_go,
}

"""One instance from the pool's launch template, in the first allowed zone and of the first allowed type that EC2 has.

A request that is repeated, by botocore or by the next run, is the same request: its ClientToken is made of all that it
asks for. EC2 answers it with the instance that it made then, also one that has ended since; such a token is used up,
and the next one is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from lifecycle import ec2
from lifecycle.adapters.ec2_api import Answered, Aws, Json, named
from lifecycle.adapters.ec2_find import ENDED, ENDING, TEMPLATE, Finder, Found, moment_of
from lifecycle.adapters.ec2_volumes import Volumes
from lifecycle.ec2 import Instance, Place
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Pin

NO_CAPACITY: Final = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "ReservationCapacityExceeded",
        "SpotMaxPriceTooLow",
        "Unsupported",
        "VcpuLimitExceeded",
    }
)
"""EC2 API reference, "Error codes": this type cannot be had in this zone now, another zone or type may. Limits count
by family of types, free addresses by subnet, and `Unsupported` is a type that the zone does not offer."""
CAPACITY = (
    "runbooks/aws.md#capacity: allow another type or zone in the stack file, or run `pulumi up` again when EC2 has some"
)
ADDRESS = "runbooks/aws.md#address, then run `pulumi up` again"
FORGOTTEN_S = 1800.0
"""EC2 knows an instance that it just made within seconds, and lists one that ended for about an hour: one that it does
not know is new before this, and gone after it."""
TOKENS_MAX = 30
"""Of one request: as many instances of it may have ended within the day that EC2 remembers a token."""
REUSED: Final = frozenset({"IdempotentParameterMismatch", "IdempotentInstanceTerminated"})


class UserData(Protocol):
    """What an instance is started with."""

    @property
    def data(self) -> bytes:
        """User data, before base64; without any secret."""
        ...

    @property
    def stored(self) -> Mapping[str, bytes]:
        """Path in the boot store -> bytes of what must be there before."""
        ...


@dataclass(frozen=True)
class Choice:
    """Where, and which. zone, instance_type: as EC2 names them. network: of the request."""

    zone: str
    instance_type: str
    network: Json


class Launcher:
    """Makes instances.

    stack: whose they are. user_data: (pin, zone) -> what an instance starts with there. publish: puts files into the
    boot store, once. now_s: the moment.
    """

    def __init__(
        self,
        aws: Aws,
        finder: Finder,
        volumes: Volumes,
        stack: str,
        user_data: Callable[[Pin, str], UserData],
        publish: Callable[[Mapping[str, bytes]], None],
        now_s: Callable[[], float],
    ) -> None:
        self._aws, self._finder, self._volumes = aws, finder, volumes
        self._stack, self._user_data, self._publish, self._now_s = stack, user_data, publish, now_s

    def launch(self, place: Place, pin: Pin, of: Instance, ended: Sequence[Found]) -> str:
        """Launch one instance and return its id. ended: the host's instances that EC2 still lists; none is alive.

        Raises NeedsAttention, and launches nothing, if template, address or volumes are not as the pin says; PortError
        with every answer if EC2 has none of what is allowed.
        """
        version = self.template_version(place, of)
        answers = []
        for choice in self.choices(place, pin, of):
            try:
                return self._run(place, pin, of, version, choice, ended)
            except Answered as missing:
                answers.append(f"{choice.instance_type} in {choice.zone}: {missing}")
        raise PortError(named(place, "RunInstances"), "; ".join(answers), CAPACITY)

    def template_version(self, place: Place, of: Instance) -> str:
        """The template's latest version, by number, so that it is the very one that is launched. Raises NeedsAttention
        if that is another image's."""
        template = self._finder.template(place, of.template)
        if template.ami != of.ami:
            raise NeedsAttention(
                f"launch template {of.template} in {place.region}, version {template.version}",
                f"image {template.ami or 'none'}, and {of.ami or 'none'} is pinned for {place.host}",
                TEMPLATE,
            )
        return template.version

    def choices(self, place: Place, pin: Pin, of: Instance) -> Iterator[Choice]:
        """What is allowed, in order: every type in a zone before the next zone. Raises as `launch` does."""
        bound = self._volumes.free(place, of.volumes, of.zones)
        zones = (bound,) if bound else of.zones
        if of.fixed_address:
            zone, network = self._on_address(place, of)
            if bound and zone != bound:
                what = f"network interface and volumes of {place.host}"
                raise NeedsAttention(what, f"the one in {zone}, the others in {bound}", ADDRESS)
            for kind in of.instance_types:
                yield Choice(zone, kind, network)
            return
        groups, known = self._finder.groups(place, pin.role.value), dict(of.subnets)
        for zone in zones:
            subnet = known.get(zone) or self._finder.subnet(place, zone)
            for kind in of.instance_types:
                yield Choice(zone, kind, {"SubnetId": subnet, "SecurityGroupIds": groups})

    def _on_address(self, place: Place, of: Instance) -> tuple[str, Json]:
        """(zone, what a request says) of the host's own network interface, once it is free."""
        address = self._finder.address(place)
        what = f"network interface {address.id} of {place.host}"
        if address.zone not in of.zones:
            raise NeedsAttention(what, f"zone {address.zone}, none of {', '.join(of.zones)}", ADDRESS)
        state = self._finder.state(place, address.holder) if address.holder else ENDED
        if state == ENDING:
            raise PortError(what, f"instance {address.holder} on it, which is {state}", ADDRESS)
        if state != ENDED:
            raise NeedsAttention(what, f"instance {address.holder} on it, which is {state}", ADDRESS)
        return address.zone, {"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": address.id}]}

    def request(self, place: Place, pin: Pin, of: Instance, version: str, choice: Choice, data: bytes) -> Json:
        """All that RunInstances is asked for, but its token."""
        tags = [
            {"Key": key, "Value": value}
            for key, value in ec2.tags(self._stack, place.cluster, place.host, generation=pin.generation).items()
        ]
        return {
            "LaunchTemplate": {"LaunchTemplateName": of.template, "Version": version},
            "InstanceType": choice.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": data.decode(),
            "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
            **choice.network,
        }

    def _run(self, place: Place, pin: Pin, of: Instance, version: str, choice: Choice, ended: Sequence[Found]) -> str:
        """The id of an instance that has not ended. Raises Answered for what EC2 does not have."""
        started = self._user_data(pin, choice.zone)
        self._publish(started.stored)
        request = self.request(place, pin, of, version, choice, started.data)
        used = {one.token for one in ended}
        for number in range(TOKENS_MAX):
            token = client_token(request, number)
            if token in used:
                continue
            try:
                answer = self._aws.ask(place, "RunInstances", told=NO_CAPACITY | REUSED, **request, ClientToken=token)
            except Answered as answered:
                if answered.code in NO_CAPACITY:
                    raise
                continue
            if self._lives(place, answer["Instances"][0]):
                return str(answer["Instances"][0]["InstanceId"])
        raise NeedsAttention(
            named(place, "RunInstances"),
            f"{TOKENS_MAX} instances that ended, all of this very request",
            "runbooks/aws.md#ended: see why they end, or wait until EC2 has forgotten them",
        )

    def _lives(self, place: Place, answered: Json) -> bool:
        """Whether an answered instance has not ended. An answer that is repeated says what was true at first, so EC2
        is asked."""
        state = self._finder.known_state(place, str(answered["InstanceId"]))
        if state:
            return state not in (ENDING, ENDED)
        return self._now_s() - moment_of(answered) < FORGOTTEN_S


def client_token(request: Json, number: int) -> str:
    """64 characters, the most that EC2 takes: the same for the same request."""
    content = json.dumps([request, number], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()

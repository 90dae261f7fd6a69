"""What the steps' identity may do on AWS, asked of AWS itself, and which machines there say they are this stack's.

EC2 answers a dry run of each call: it changes nothing, and says whether the call would be let through. What cannot be
asked harmlessly, such as the end of an instance where there is none yet, is not known, and not reported as missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from lifecycle import ec2
from lifecycle.adapters import s3_access
from lifecycle.adapters.ec2_api import FORBIDDEN, Answered, Aws, Json, Refused, lacking
from lifecycle.adapters.ec2_find import Finder
from lifecycle.aws_permissions import BY_ACTION, On, Right
from lifecycle.ec2 import DEVICES, Instance, Place
from lifecycle.errors import NeedsAttention
from lifecycle.permissions import Forbidden
from lifecycle.ports import Pin

WOULD = "DryRunOperation"
LOOKS: Final = tuple(action.removeprefix("ec2:") for action, right in BY_ACTION.items() if right.on is On.ALL)


class AwsAccount:
    """Fulfils `lifecycle.cloud.Cloud`.

    stack: whose machines, as their tags have it. pins: finds the declared ones. bucket: (name, region) of the boot
    store, None where that is none; both asked when they are needed.
    """

    def __init__(
        self,
        aws: Aws,
        stack: str,
        pins: Callable[[], Sequence[Pin]],
        bucket: Callable[[], tuple[str, str] | None],
    ) -> None:
        self._aws, self._stack, self._pins, self._bucket = aws, stack, pins, bucket
        self._finder = Finder(aws, stack)

    def forbidden(self) -> tuple[Forbidden, ...]:
        clusters = self._clusters()
        if not clusters:
            return ()
        missing: dict[str, Right] = {}
        for place, pins in clusters.items():
            for right in self._lacking(place, pins):
                missing.setdefault(str(right), right)
        who = str(self._aws.ask(next(iter(clusters)), "GetCallerIdentity", service="sts")["Arn"]) if missing else ""
        return tuple(Forbidden(right, who) for right in missing.values())

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for place in self._clusters():
            for one in self._finder.instances(place):
                if one.alive:
                    found[one.host] = (*found.get(one.host, ()), str(one))
        return found

    def _clusters(self) -> dict[Place, list[Pin]]:
        """Where declared instances are, each with their pins."""
        found: dict[Place, list[Pin]] = {}
        for pin in self._pins():
            if isinstance(pin.particulars, Instance):
                place = Place(pin.particulars.region, pin.particulars.cluster, "")
                found.setdefault(place, []).append(pin)
        return found

    def _lacking(self, place: Place, pins: Sequence[Pin]) -> Iterator[Right]:
        for call in LOOKS:
            arguments: Json = {"LaunchTemplateName": _of(pins[0]).template} if "Template" in call else {}
            yield from self._dry(place, call, **arguments)
        for pin in {_of(pin).template: pin for pin in pins}.values():
            yield from self._launch(place, pin)
        yield from self._switch(place)
        bucket = self._bucket()
        if bucket is not None:
            # Without one the program has yet to register it; whoever keeps records there says so.
            with contextlib.suppress(s3_access.NoBucket):
                yield from s3_access.lacking(self._aws, Place(bucket[1], place.cluster, ""), bucket[0])

    def _dry(self, place: Place, call: str, **arguments: Any) -> Iterator[Right]:
        """The permission that a call lacks. Any other answer is no verdict: it may be about the arguments."""
        try:
            self._aws.ask(place, call, told=FORBIDDEN | {WOULD}, DryRun=True, **arguments)
        except Answered as answered:
            if answered.code != WOULD:
                action, resource = lacking(call, answered.text)
                yield _right(action, resource)
        except Refused:
            return

    def _launch(self, place: Place, pin: Pin) -> Iterator[Right]:
        """A launch as a step asks for it, but into no place: on the host's address it would be about that."""
        of, host = _of(pin), Place(place.region, place.cluster, pin.node)
        try:
            template = self._finder.template(host, of.template)
            if of.fixed_address:
                subnet = self._finder.address(host).subnet
            else:
                subnet = dict(of.subnets).get(of.zones[0]) or self._finder.subnet(host, of.zones[0])
        except NeedsAttention:
            return  # not registered yet, or not to be seen, which is told already
        said = ec2.tags(self._stack, place.cluster, pin.node, generation=pin.generation)
        tags = [{"Key": key, "Value": value} for key, value in said.items()]
        yield from self._dry(
            place,
            "RunInstances",
            LaunchTemplate={"LaunchTemplateName": of.template, "Version": template.version},
            InstanceType=of.instance_types[0],
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        )

    def _switch(self, place: Place) -> Iterator[Right]:
        """What is done to an instance, if there is one to ask about."""
        try:
            one = next((one for one in self._finder.instances(place) if one.alive), None)
        except NeedsAttention:
            return
        if one is None:
            return
        keep = {"DeviceName": DEVICES[0], "Ebs": {"DeleteOnTermination": False}}
        yield from self._dry(place, "TerminateInstances", InstanceIds=[one.id])
        yield from self._dry(place, "ModifyInstanceAttribute", InstanceId=one.id, BlockDeviceMappings=[keep])
        volumes = [volume for _, volume in one.kept]
        if volumes:
            yield from self._dry(place, "AttachVolume", InstanceId=one.id, VolumeId=volumes[0], Device=DEVICES[-1])


def _of(pin: Pin) -> Instance:
    """For one that `AwsAccount._clusters` found."""
    if not isinstance(pin.particulars, Instance):
        raise NeedsAttention(f"pin of {pin.node}", "nothing of an instance", "report this line")
    return pin.particulars


def _right(action: str, resource: str) -> Right:
    """The table's, or what AWS says is missing although the table does not know it."""
    known = BY_ACTION.get(action)
    return known or Right(action, On.ALL, f"asked for {resource}" if resource else "asked for by EC2")

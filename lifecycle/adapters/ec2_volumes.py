"""A host's data volumes go from one of its instances to the next, and nobody deletes, empties or tears one away.

Owns the only calls that touch a data volume: AttachVolume, and the one that keeps EC2 from deleting it with its
instance. A volume is detached by its instance's end alone, so nothing is ever pulled from a machine that writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle import ec2
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.ec2_find import ENDED, ENDING, VOLUME, Finder, Found, Volume
from lifecycle.ec2 import Place
from lifecycle.errors import NeedsAttention, PortError


class Volumes:
    """Of hosts on EC2."""

    def __init__(self, aws: Aws, finder: Finder) -> None:
        self._aws, self._finder = aws, finder

    def free(self, place: Place, names: Sequence[str], zones: Sequence[str]) -> str:
        """The zone that an instance must be in for its volumes, "" if it has none; returns once all are free.

        Raises NeedsAttention for a volume that is missing, is elsewhere, or that another live instance has; PortError
        while the one before still has it.
        """
        found = self._named(place, names)
        where = {volume.zone for volume in found}
        if len(where) > 1 or not where <= set(zones):
            at = ", ".join(f"{v.name} ({v.id}) in {v.zone}" for v in found)
            what = f"volumes of {place.host} in {', '.join(zones)}"
            raise NeedsAttention(what, at, f"{VOLUME}: a volume does not change its zone")
        for volume in found:
            self._unheld(place, volume)
        return next(iter(where), "")

    def attach(self, place: Place, names: Sequence[str], instance: Found) -> tuple[str, ...]:
        """Begin to attach what is not attached yet; why each of them is not, in words; nothing once all are, and
        will outlive the instance. Raises as `free` does."""
        wanting = []
        taken = {device for device, _ in (*instance.kept, *instance.dies)}
        for name, volume in zip(names, self._named(place, names), strict=True):
            if volume.holder != instance.id:
                self._unheld(place, volume)
                device = _device(names.index(name), taken)
                taken.add(device)
                self._aws.ask(place, "AttachVolume", VolumeId=volume.id, InstanceId=instance.id, Device=device)
                wanting.append(f"volume {name} ({volume.id}) attaching to {instance.id}")
            elif volume.attachment != "attached":
                wanting.append(f"volume {name} ({volume.id}) {volume.attachment} at {instance.id}")
        if not wanting:
            self.outlive(place, instance)
        return tuple(wanting)

    def outlive(self, place: Place, instance: Found) -> None:
        """Return once it is proven that no data volume is deleted with the instance. Raises PortError until then."""
        doomed = self._doomed(place, instance)
        if not doomed:
            return
        keep = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}} for device, _ in doomed]
        self._aws.ask(place, "ModifyInstanceAttribute", InstanceId=instance.id, BlockDeviceMappings=keep)
        now = next((one for one in self._finder.instances(place) if one.id == instance.id), None)
        left = self._doomed(place, now) if now else doomed
        if left:
            raise PortError(
                f"volumes of {place.host} at {instance.id}",
                f"{', '.join(volume for _, volume in left)}, to be deleted with it",
                VOLUME,
            )

    def held_by_the_dead(self, place: Place, dead: frozenset[str]) -> tuple[str, ...]:
        """The host's data volumes that its ended instances still hold, in words."""
        found = self._finder.volumes(place).values()
        return tuple(f"volume {v.name} ({v.id}) {v.attachment} at {v.holder}" for v in found if v.holder in dead)

    def _doomed(self, place: Place, instance: Found) -> tuple[tuple[str, str], ...]:
        """(device, volume) of data volumes that would go with the instance, of whatever host: whoever moved one by
        hand did not mean to lose it."""
        others = [pair for pair in instance.dies if pair[0] != instance.root]
        if not others:
            return ()
        answer = self._aws.ask(
            place,
            "DescribeVolumes",
            Filters=[
                {"Name": "tag-key", "Values": [ec2.VOLUME_TAG]},
                {"Name": "attachment.instance-id", "Values": [instance.id]},
            ],
        )
        data = {str(one["VolumeId"]) for one in answer["Volumes"]}
        return tuple(pair for pair in others if pair[1] in data)

    def _named(self, place: Place, names: Sequence[str]) -> list[Volume]:
        if not names:
            return []
        found = self._finder.volumes(place)
        missing = [name for name in names if name not in found]
        if missing:
            raise NeedsAttention(
                f"volumes of {place.host} in {place.region}, by their tags",
                f"none of the name {', '.join(missing)}",
                f"{VOLUME}: `pulumi up` registers it, or restores its tags",
            )
        return [found[name] for name in names]

    def _unheld(self, place: Place, volume: Volume) -> None:
        """Return if the volume can be attached. Raises NeedsAttention if it cannot be for good, or a live instance has
        it; PortError while that may change by itself."""
        what = f"volume {volume.name} ({volume.id}) of {place.host}"
        if volume.holder:
            state = self._finder.state(place, volume.holder)
            if state not in (ENDING, ENDED):
                found = f"{volume.attachment} at instance {volume.holder}, which is {state}"
                raise NeedsAttention(what, found, f"{VOLUME}: end or detach it there; nothing is torn away")
            raise PortError(what, f"{volume.attachment} at instance {volume.holder}, which is {state}", VOLUME)
        if volume.state == "error":
            raise NeedsAttention(what, "state error", VOLUME)
        if volume.state != "available":
            raise PortError(what, f"state {volume.state}", VOLUME)


def _device(index: int, taken: set[str]) -> str:
    """The device of the pin's order, or the next one that is free."""
    order = (*ec2.DEVICES[index:], *ec2.DEVICES[:index])
    return next((device for device in order if device not in taken), order[0])  # EC2 says which one has it

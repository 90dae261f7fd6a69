"""One boot of a host into its installer, by each of the ways that a stack file may name (docs/bare-metal.md).

A way that the boot store has nothing for, that the controller does not offer, or that it refuses, is noted, and the
next one is tried. What a controller answers because it is busy says nothing about a way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import sushy
from sushy import exceptions
from sushy.resources.manager.constants import VirtualMediaType

from lifecycle.adapters.boot_store import ISO, LOADER, BootTarget
from lifecycle.adapters.redfish_session import BUSY
from lifecycle.adapters.wire import shown
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import BootMethod

if TYPE_CHECKING:
    from sushy.resources.manager.virtual_media import VirtualMedia
    from sushy.resources.system.system import System

DEFAULT = (BootMethod.UEFI_HTTP, BootMethod.PXE)
PASSING = frozenset({409, 500, 502, 504})
"""What a controller says that cannot do it just now, or that fails over it: worth asking again, unlike a 400."""
NO_SUCH_THING = frozenset({404, 405, 501})


class NotOffered(Exception):
    """This way is not open here. The text says why."""


def order(system: System, what: str, methods: Sequence[BootMethod], target: BootTarget) -> BootMethod:
    """Have the host boot once by the first of `methods` that can be ordered, and return which.

    what: the controller, in an error. Raises NeedsAttention with what became of each way; PortError instead if the
    controller may answer otherwise later; what sushy raises of a controller that is busy or does not answer.
    """
    came: list[str] = []
    passing = False
    for method in methods or DEFAULT:
        try:
            _ORDERS[method](system, target)
            return method
        except NotOffered as why:
            came.append(f"{method}: {why}")
        except exceptions.AccessError:
            raise
        except exceptions.HTTPError as error:
            if error.status_code in BUSY:
                raise
            passing = passing or error.status_code in PASSING
            came.append(f"{method}: HTTP {error.status_code} {shown(str(error.detail or ''))}".rstrip())
        except (exceptions.MissingAttributeError, exceptions.MissingActionError) as error:
            came.append(f"{method}: not offered ({shown(str(error))})")
        except exceptions.InvalidParameterValueError:
            came.append(f"{method}: not offered")
    found = "no way to its installer: " + "; ".join(came)
    fix = "runbooks/bmc.md#boot: correct `boot` of this host in the stack file, or what stands in its way"
    raise PortError(what, found, fix) if passing else NeedsAttention(what, found, fix)


def offered(system: System, method: BootMethod, target: BootTarget) -> str:
    """Why `method` is not open here, "" if it is as far as can be told without changing anything."""
    try:
        _require(system, _SOURCES[method])
        if method is BootMethod.UEFI_HTTP:
            _loader(target)
            if "HttpBootUri" not in (system.json.get("Boot") or {}) and not system._settings:
                raise NotOffered("the controller takes no address (HttpBootUri)")
        elif method is BootMethod.VIRTUAL_MEDIA:
            _free_slot(system, target)
    except NotOffered as why:
        return str(why)
    return ""


def start(system: System, on: bool) -> None:
    """Have the host start anew. on: as its power is told, which may lag behind what it is: where the controller
    refuses what would fit that, it gets what would fit the opposite."""
    kinds = sushy.ResetType
    wanted = (
        [kinds.FORCE_RESTART, kinds.POWER_CYCLE, kinds.ON] if on else [kinds.ON, kinds.FORCE_ON, kinds.FORCE_RESTART]
    )
    allowed = system.get_allowed_reset_system_values()
    possible = [kind for kind in wanted if kind in allowed] or wanted[:1]
    for kind in possible:
        try:
            system.reset_system(kind)
            return
        except exceptions.HTTPError as error:
            if error.status_code not in (400, 409) or kind is possible[-1]:
                raise


def cancel(system: System) -> None:
    """The host boots from its own disk from now on, and no image of ours is in its virtual media. Idempotent."""
    eject(system)
    disabled = sushy.BootSourceOverrideEnabled.DISABLED
    if system.boot.enabled is disabled:
        return
    try:
        system.set_system_boot_options(enabled=disabled)
    except exceptions.BadRequestError:  # some want a target with it: the disk is what we mean
        system.set_system_boot_options(sushy.BootSource.HDD, disabled)


def eject(system: System) -> None:
    """Take our image out of the host's virtual media; anybody else's stays."""
    for slot in _slots(system):
        if slot.inserted and _ours(slot):
            slot.eject_media()


def ignored(system: System) -> bool:
    """Whether the host has begun to boot something and its one-time override still stands: what was ordered was not
    followed. Some take an override away late, so this has to be seen for a while."""
    state = system.boot_progress.last_state if system.boot_progress else None
    begun = (sushy.BootProgressStates.OS_BOOT_STARTED, sushy.BootProgressStates.OS_RUNNING)
    return state in begun and system.boot.enabled is sushy.BootSourceOverrideEnabled.ONCE


# ---------------------------------------------------------------- the ways


def _uefi_http(system: System, target: BootTarget) -> None:
    _loader(target)
    _once(system, sushy.BootSource.UEFI_HTTP, target.url)


def _pxe(system: System, target: BootTarget) -> None:
    del target  # the network's own boot service names it
    _once(system, sushy.BootSource.PXE)


def _virtual_media(system: System, target: BootTarget) -> None:
    _require(system, sushy.BootSource.CD)
    slot = _free_slot(system, target)
    if slot.inserted:
        slot.eject_media()  # what is in there is ours, and may be of an earlier day
    slot.insert_media(target.iso)
    try:
        _once(system, sushy.BootSource.CD)
    except exceptions.SushyError:
        slot.eject_media()
        raise


_ORDERS: Mapping[BootMethod, Callable[[System, BootTarget], None]] = {
    BootMethod.UEFI_HTTP: _uefi_http,
    BootMethod.PXE: _pxe,
    BootMethod.VIRTUAL_MEDIA: _virtual_media,
}
_SOURCES = {
    BootMethod.UEFI_HTTP: sushy.BootSource.UEFI_HTTP,
    BootMethod.PXE: sushy.BootSource.PXE,
    BootMethod.VIRTUAL_MEDIA: sushy.BootSource.CD,
}


def _once(system: System, source: sushy.BootSource, url: str | None = None) -> None:
    once, uefi = sushy.BootSourceOverrideEnabled.ONCE, sushy.BootSourceOverrideMode.UEFI
    system.set_system_boot_options(source, once, uefi, http_boot_uri=url)


def _loader(target: BootTarget) -> None:
    if not target.url:
        raise NotOffered(f"the boot store has no {LOADER}")


def _require(system: System, source: sushy.BootSource) -> None:
    if source not in system.get_allowed_system_boot_source_values():
        listed = ", ".join((system.boot.allowed_values if system.boot else None) or ())
        raise NotOffered(f"the controller offers {listed or 'no boot source'}, not {source.value}")


def _free_slot(system: System, target: BootTarget) -> VirtualMedia:
    """The first CD that is empty, or has our image in it."""
    if not target.iso:
        raise NotOffered(f"the boot store has no {ISO}")
    others: list[str] = []
    for slot in _slots(system):
        if not slot.inserted or _ours(slot):
            return slot
        others.append(f"{slot.identity} holds {shown(str(slot.image_name or slot.image or 'an image'))}")
    raise NotOffered("; ".join(others) or "the controller has no virtual CD")


def _slots(system: System) -> Iterator[VirtualMedia]:
    """Its virtual CDs: newer controllers list them with the system, older ones with themselves."""
    for holder in _holders(system):
        try:
            slots = holder.virtual_media.get_members()
        except exceptions.MissingAttributeError:
            continue
        except exceptions.HTTPError as error:
            if error.status_code not in NO_SUCH_THING:
                raise
            continue
        found = [s for s in slots if {VirtualMediaType.CD, VirtualMediaType.DVD} & set(s.media_types or ())]
        if found:
            yield from found
            return


def _holders(system: System) -> Iterator[System]:
    yield system
    try:
        yield from system.managers
    except exceptions.MissingAttributeError:
        return


def _ours(slot: VirtualMedia) -> bool:
    """By the image's file name: some controllers tell nothing else."""
    return any(isinstance(t, str) and t.rstrip("/").endswith(ISO) for t in (slot.image, slot.image_name))

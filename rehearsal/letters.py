"""What another terminal asks of the simulated cluster while a run has the rack: to pause, or to go on.

A real cluster has an API for that. A rack is in the memory of the one process that holds its lock, so the
question waits in a file beside it, until that process, or the next one, next asks the roster.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lifecycle import roster
from lifecycle.pause import told, with_pause, without_pause
from lifecycle.roster import Paused
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store, usable
from rehearsal.rack.world import World

FLEET = "fleet"


def pause(folder: Path, by: str, reason: str) -> str:
    """No further node of the rack in `folder` leaves until `resume`. Raises StoreUnusable, WorldUnreadable."""
    return _send(folder, {"by": by, "reason": reason})


def resume(folder: Path) -> str:
    """Nodes may leave again. Raises as `pause`."""
    return _send(folder, None)


def _send(folder: Path, asked: dict[str, str] | None) -> str:
    store = Store(folder)
    known = _known(store)
    if known is None or not known.roster:
        return f"rack {folder.name}: expected a cluster, found none yet; nothing was changed"
    with usable(folder):
        written = store.letter.with_suffix(".new")
        written.write_text(json.dumps(asked))
        written.replace(store.letter)
    if asked is None:
        return f"rack {folder.name}: may go on; run `ingot rack up {folder.name}` again"
    return f"rack {folder.name}: paused by {asked['by']}; what is out is finished, no further node leaves"


def _known(store: Store) -> World | None:
    loaded = store.load()
    return loaded[0] if loaded is not None else None


def deliver(store: Store, rack: Rack, save: Callable[[], None]) -> None:
    """Take the question in, if there is one. Clock's lock held."""
    try:
        text = store.letter.read_text()
    except FileNotFoundError:
        return
    asked = json.loads(text)
    world = rack.world
    now = roster.parse(world.roster, FLEET)
    mark = None if asked is None else Paused(by=asked["by"], reason=asked["reason"], since_s=rack.now_s)
    after = without_pause(now) if mark is None else with_pause(now, mark)
    if after != now:
        world.roster, world.roster_version = roster.text(after), world.roster_version + 1
        rack.journal.add(rack.now_s, "note", node=FLEET, text="may go on" if mark is None else told(mark))
        rack.changed("roster")
    save()
    store.letter.unlink(missing_ok=True)

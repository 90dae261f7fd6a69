"""Says which of the lab's parts are there, and builds those that are not."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tools import cache as caches
from tools import go
from tools.lab.parts import PARTS, Part
from tools.running import CommandFailed, Job, run

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout that this file belongs to."""

RECORD = "record.json"
"""Beside each binary: FACTS of it."""

FACTS = {"version": "version", "sha256": "SHA-256", "pins": "go.mod, go.sum and source's SHA-256"}
"""What is recorded, and what a person calls it."""

BUILD_LIMIT_S = 1800.0
"""For one part. The longest takes three and a half minutes on two cores; the rest is for slower machines and lines."""

LOCK_LIMIT_S = 3600.0
"""As long as another caller may rightly take for all of them."""

VERSION_LIMIT_S = 60.0
"""A binary says its version in a tenth of a second; a loaded machine that reads 100 MB first is still in time."""

REMEDY = (
    "Remedy: allow HTTPS to the Go module proxy (`go env GOPROXY`) and to PyPI, see that some 8 GB are free where "
    "`go env GOCACHE GOMODCACHE` point, then run `python -m tools.lab --ensure` again; what is built is kept."
)


class PartUnobtainable(Exception):
    """A part of the lab cannot be had. `str()` names it, what was expected, what was found, and what to do."""

    def __init__(self, part: Part, found: str) -> None:
        self.part, self.found = part, found
        super().__init__(
            f"{part.name}: expected version {part.version} from {part.of or part.package}, found {found}\n{REMEDY}"
        )


@dataclass(frozen=True)
class Kept:
    """A part in the cache. trouble: why it cannot be used, "" if nothing is wrong with it."""

    part: Part
    path: Path
    trouble: str = ""

    @property
    def present(self) -> bool:
        return not self.trouble


def look(project: Path = PROJECT, parts: Iterable[Part] = PARTS) -> dict[str, Kept]:
    """Every part by its name, whether it is there or not. Changes nothing and runs nothing."""
    root = caches.folder(project) / "lab"
    return {part.name: examine(part, root) for part in parts}


def kept(part: Part) -> Path | None:
    """The program, if it was built and is as it was recorded."""
    found = look(parts=(part,))[part.name]
    return found.path if found.present else None


def ensure(project: Path = PROJECT, console: Console | None = None, parts: Iterable[Part] = PARTS) -> dict[str, Path]:
    """The path of every part by its name; builds first what is not there, and says so on `console` (default: stderr).

    Raises PartUnobtainable for the first that cannot be built; caches.LockTimeout when another caller takes too long.
    """
    wanted = tuple(parts)
    found = look(project, wanted)
    if not all(kept.present for kept in found.values()):
        shown = console or Console(stderr=True, soft_wrap=True)
        cache = caches.folder(project)
        with caches.lock(cache / "lab", LOCK_LIMIT_S, lambda holder: _say(shown, f"{holder} is building; waiting")):
            found = look(project, wanted)  # again: whoever held the lock may have built them
            for kept in found.values():
                if not kept.present:
                    _say(shown, f"{kept.part.name}: {kept.trouble}")
                    build(kept.part, cache, lambda part, made: _compile(part, made, cache, shown))
    return {name: kept.path for name, kept in found.items()}


def examine(part: Part, root: Path) -> Kept:
    """The part under `root`, compared with its record and its pins without running it."""
    home = _home(part, root)
    binary = home / part.name
    if not binary.exists():
        return Kept(part, binary, f"{part.version} is not in the cache")
    try:
        record = json.loads((home / RECORD).read_text(encoding="utf-8"))
        recorded = {key: str(record[key]) for key in FACTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Kept(part, binary, f"its record {home / RECORD} cannot be read ({type(error).__name__})")
    actual = _facts(part, binary)
    differing = [
        f"its {FACTS[key]} is {actual[key][:16]}, recorded was {recorded[key][:16]}"
        for key in FACTS
        if actual[key] != recorded[key]
    ]
    return Kept(part, binary, "; ".join(differing))


def build(part: Part, cache: Path, compile_part: Callable[[Part, Path], None]) -> None:
    """Build one part into the cache, prove that it is the pinned one, record it. Hold the lock.

    compile_part: makes the binary at a path; may raise CommandFailed or OSError. Raises PartUnobtainable.
    """
    home = _home(part, cache / "lab")
    caches.sweep(home.parent)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=caches.SCRATCH) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        try:
            compile_part(part, made / part.name)
        except (CommandFailed, OSError) as error:
            raise PartUnobtainable(part, str(error)) from error
        reports = ask_version(part, made / part.name)
        if part.says(reports) != part.version:
            raise PartUnobtainable(part, f"a binary that says {reports!r}")
        record = json.dumps(_facts(part, made / part.name), indent=2) + "\n"
        (made / RECORD).write_text(record, encoding="utf-8")
        caches.put_in_place(made, home)


def ask_version(part: Part, binary: Path) -> str:
    """What the binary prints when it is asked for its version. Raises PartUnobtainable if it does not run."""
    try:
        asked = subprocess.run(
            [str(binary), *part.asks],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_LIMIT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise PartUnobtainable(
            part, f"a binary that exits {error.returncode}: {error.stderr.strip()[-200:]}"
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise PartUnobtainable(part, f"a binary that does not run ({error})") from error
    return asked.stdout.strip()


def _compile(part: Part, made: Path, cache: Path, console: Console) -> None:
    """Build the binary exactly as go.mod and go.sum pin it. Raises CommandFailed."""
    flags = ["-mod=readonly", "-buildvcs=false", "-v", "-ldflags", part.flags, "-o", str(made)]
    argv = [str(go.toolchain(cache, console)), "build", *flags, part.package]
    title = f"building {part.name} {part.version} from its Go module (about {part.about_s} s on 2 cores)"
    run(Job(title, argv, BUILD_LIMIT_S, cwd=part.folder, env=go.environment()), console)


def _home(part: Part, root: Path) -> Path:
    return root / f"{part.name}-{part.version}-{platform.system().lower()}-{platform.machine().lower()}"


def _facts(part: Part, binary: Path) -> Mapping[str, str]:
    """What is recorded of a part. pins: changes with any requirement, also one that leaves the version as it is."""
    pins = hashlib.sha256(b"".join(path.read_bytes() for path in part.pins))
    return {"version": part.version, "sha256": caches.digest(binary), "pins": pins.hexdigest()}


def _say(console: Console, text: str) -> None:
    console.print(f"lab: {text}", highlight=False, markup=False)

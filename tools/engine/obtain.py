"""Does what `choice.decide` decided: gets an engine, proves that it is the right one, keeps it."""

from __future__ import annotations

import sys
import tempfile
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from rich.console import Console

from tools import cache as caches
from tools import go
from tools.engine import kept
from tools.engine.choice import PINNED, Engine, Probes, Source, decide
from tools.engine.probes import Machine, ask_version
from tools.running import CommandFailed, Job, run

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout that this file belongs to."""

MODULE = Path(__file__).parent
"""Holds go.mod and go.sum, which pin the engine's source and all it is built from."""

INSTALLER = "https://get.pulumi.com/install.sh"
"""What the Automation API's installer fetches first; asked beforehand, so that a refusal is known at once."""

REACH_LIMIT_S = 10.0
"""A host that has not answered by then is taken for unreachable."""

INSTALL_LIMIT_S = 600.0
"""About 150 MB, also over a slow line."""

BUILD_LIMIT_S = 3600.0
"""Four minutes on two cores, once the sources are there; the rest is for slower machines."""

LOCK_LIMIT_S = INSTALL_LIMIT_S + BUILD_LIMIT_S
"""As long as another caller may rightly take."""

INSTALL_SCRIPT = (
    "import sys; from semver import VersionInfo; from pulumi.automation import PulumiCommand; "
    "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
)
"""Runs in a process of its own: `install` knows no deadline."""


class Unobtainable(Exception):
    """One source did not yield a working engine. `str()` is the reason."""


def look(project: Path = PROJECT) -> Engine:
    """The engine in use, or the one that `ensure` would get (`present` is False then). Changes nothing."""
    return decide(Machine(caches.folder(project)), {})


def ensure(project: Path = PROJECT, console: Console | None = None) -> Engine:
    """The engine, got first if it is not there; says on `console` (default: stderr) what it does.

    Raises NoEngine when every source failed, caches.LockTimeout when another caller takes too long.
    """
    cache = caches.folder(project)
    machine = Machine(cache)
    engine = decide(machine, {})
    if engine.present:
        return engine
    shown = console or Console(stderr=True, soft_wrap=True)

    def say(text: str) -> None:
        shown.print(f"Pulumi engine: {text}", highlight=False, markup=False)

    with caches.lock(cache / "engine", LOCK_LIMIT_S, lambda holder: say(f"{holder} is getting it; waiting")):
        return settle(machine, lambda source: _obtain(source, cache, shown), say)


def settle(probes: Probes, obtain: Callable[[Source], None], say: Callable[[str], None]) -> Engine:
    """Obtain from source after source, as `decide` says, until the engine is there. Raises NoEngine."""
    refused: dict[Source, str] = {}
    while True:
        engine = decide(probes, refused)
        say(engine.why)
        if engine.present:
            return engine
        try:
            obtain(engine.source)
        except (Unobtainable, CommandFailed, OSError) as error:
            refused[engine.source] = str(error)
            say(f"{engine.source} failed: {str(error).splitlines()[0]}")
        else:
            refused[engine.source] = "it yielded an engine that is not usable from the cache"


def _obtain(source: Source, cache: Path, console: Console) -> None:
    """Get an engine from `source` into the cache. Raises Unobtainable, CommandFailed or OSError."""
    root = kept.home(cache)
    caches.sweep(root.parent)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=caches.SCRATCH) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        if source is Source.INSTALLER:
            _install(made, console)
        else:
            _build(made, cache, console)
        keep(made, root, source)


def keep(made: Path, root: Path, source: Source) -> None:
    """Prove that `made` holds the pinned engine, record its digest, move it to `root`. Raises Unobtainable."""
    reports, trouble = ask_version(made / "bin" / "pulumi")
    if trouble or reports != f"v{PINNED}":
        raise Unobtainable(f"expected an engine that reports v{PINNED}, found {trouble or repr(reports)}")
    kept.write_record(made, source, reports)
    caches.put_in_place(made, root)


def _install(made: Path, console: Console) -> None:
    """Run the official installer through the Automation API."""
    try:
        with urllib.request.urlopen(INSTALLER, timeout=REACH_LIMIT_S) as answer:
            answer.read(1)
    except (OSError, HTTPException) as error:
        raise Unobtainable(f"{INSTALLER}: expected an answer within {REACH_LIMIT_S:.0f} s, found {error}") from error
    argv = [sys.executable, "-c", INSTALL_SCRIPT, str(made), str(PINNED)]
    run(Job(f"Pulumi's installer fetches {PINNED} (about 150 MB)", argv, INSTALL_LIMIT_S), console)


def _build(made: Path, cache: Path, console: Console) -> None:
    """Build the engine from its Go module, exactly as go.mod and go.sum pin it."""
    toolchain = go.toolchain(cache, console)
    version = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
    flags = ["-mod=readonly", "-buildvcs=false", "-v", "-tags", "osusergo,grpcnotrace"]
    output = ["-ldflags", f"-s -w -X {version}=v{PINNED}", "-o", str(made / "bin" / "pulumi")]
    argv = [str(toolchain), "build", *flags, *output, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"]
    title = f"building the engine {PINNED} from its Go module (about 4 minutes on 2 cores)"
    run(Job(title, argv, BUILD_LIMIT_S, cwd=MODULE, env=go.environment()), console)

"""`ingot rack serve`: the rack without an engine of its own, for a `pulumi` in another terminal."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from pathlib import Path

from rehearsal.session import Options, open_session


def serve_until_interrupted(stack: str, faults: tuple[str, ...], seed: int, folder: Path, engine: Path) -> None:
    """Serve until SIGINT or SIGTERM; prints the environment to stdout, so that a shell can read it."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    options = Options(faults=faults, seed=seed, what="ingot rack serve")
    with open_session(stack, options, folder) as session:
        project = shlex.quote(str(session.typed_project()))
        lines = [f"export {name}={shlex.quote(value)}" for name, value in session.engine_variables().items()]
        lines += [
            f"# The rack of {stack} is served until this ends. In another shell, with the lines above:",
            f"#   pulumi --cwd {project} up --stack {stack}",
            f"#   pulumi --cwd {project} config set --stack {stack} --path ingot:environment.image.version VERSION",
            f"# The engine that ingot uses is {engine}; `pulumi` needs its Python language host beside it.",
        ]
        print("\n".join(lines))
        sys.stdout.flush()
        stop.wait()

"""The command lines that the engine stores, and runs months later from another checkout.

A stored command carries only its format version, stack, node and generation (docs/decisions,
"stored commands"); endpoints, credentials, limits and deadlines are resolved when it runs. The
grammar only ever grows: a state written by any earlier version must still parse.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

FORMAT = 2
"""Version of the command grammar. Raised when a word is added; older ones stay readable. A command carries the oldest
that has its words, so that a newer checkout changes no command that is stored already."""

PROGRAM = ".venv/bin/ingot"
"""Relative to the project's root, which is the engine's working directory: no checkout's path is stored."""


class Verb(StrEnum):
    """What a step does. The first six belong to a node, the others to the whole fleet."""

    PROVISION = "provision"  # create of the machine: claim the host, install and boot the pinned image
    RELEASE = "release"  # delete of the machine: give the host back; data disks untouched
    ENROL = "enrol"  # create of the membership: the roster lists the node as declared
    LEAVE = "leave"  # delete of the membership: the node leaves safely
    JOIN = "join"  # create of the readiness: wait until the node serves
    VACATE = "vacate"  # create of what says that a node is gone: nothing is left of it. Since format 2
    RETIRE = "retire"  # marks in the roster what the stack file says is retired
    GATE = "gate"  # the fleet-ready barrier: every gate, for the whole fleet
    ROSTER = "roster"  # prints the roster as JSON for the program; changes nothing


FLEET_VERBS = frozenset({Verb.RETIRE, Verb.GATE, Verb.ROSTER})


@dataclass(frozen=True)
class Step:
    """One stored command. `node` and `generation` are empty for the verbs of the whole fleet.

    generation: the first 16 hex digits of the digest of what the machine boots (image and boot
    configuration), or of the declared fleet for a gate. format: if it is not said, the oldest that has the verb.
    """

    verb: Verb
    stack: str
    node: str = ""
    generation: str = ""
    format: int = 0

    def __post_init__(self) -> None:
        if not self.format:
            object.__setattr__(self, "format", 2 if self.verb is Verb.VACATE else 1)

    def command(self) -> str:
        """The shell line that is stored. Raises nothing; `parse` is its inverse."""
        words = [PROGRAM, "node", self.verb.value, "--format", str(self.format), "--stack", self.stack]
        if self.node:
            words += ["--node", self.node]
        if self.generation:
            words += ["--generation", self.generation]
        return shlex.join(words)


class NotAStoredCommand(ValueError):
    """The line is not one that any version of `Step.command` wrote."""


def parse(line: str) -> Step:
    """Read a stored command line. Raises NotAStoredCommand, naming the line and the word at fault."""
    words = shlex.split(line)
    if len(words) < 3 or not words[0].endswith("ingot") or words[1] != "node":
        raise NotAStoredCommand(f"command {line!r}: expected `{PROGRAM} node VERB ...`")
    try:
        verb = Verb(words[2])
    except ValueError:
        raise NotAStoredCommand(
            f"command {line!r}: expected a verb of {[v.value for v in Verb]}, found {words[2]!r}"
        ) from None
    options: dict[str, str] = {}
    rest = words[3:]
    for flag, value in zip(rest[::2], rest[1::2], strict=False):
        options[flag] = value
    known = {"--format", "--stack", "--node", "--generation"}
    if len(rest) % 2 or not set(options) <= known or not options.get("--stack"):
        raise NotAStoredCommand(f"command {line!r}: expected options {sorted(known)} with a value each")
    version = options.get("--format", "1")
    if not version.isdigit() or int(version) > FORMAT:
        raise NotAStoredCommand(
            f"command {line!r}: format {version} is newer than this checkout's {FORMAT}; update the checkout"
        )
    return Step(verb, options["--stack"], options.get("--node", ""), options.get("--generation", ""), int(version))

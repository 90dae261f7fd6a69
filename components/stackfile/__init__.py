"""The stack file: `stacks/Pulumi.<stack>.yaml` in, a checked `Environment` out, or every problem at once.

Never imports pulumi, and reads nothing but the file it is asked to read: steps, the rehearsal and the
program all come in here. A refusal names each problem's path in the file, its line, what was found, what
was expected, and the fix; it never echoes what may be a credential.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from components.environment import Environment
from components.stackfile import problem, rules, shape
from components.stackfile.example import example
from components.stackfile.problem import Flaw, Problem, StackFileError, path_text, show
from components.stackfile.sketch import sketch
from components.stackfile.source import BYTES_MAX, Source, read

__all__ = [
    "KEY",
    "Problem",
    "StackFileError",
    "as_file",
    "dump",
    "environment_of",
    "example",
    "load",
    "validate",
    "with_image",
]

KEY: Final = "ingot:environment"
"""The one key under `config` that is ours."""

VALUES_MAX: Final = 1_000_000  # of which the order is kept; a file of the largest size holds fewer

_ROOT: Final[problem.Path] = ("config", KEY)


def load(path: Path) -> Environment:
    """Read and check one stack file. Raises StackFileError with every problem, also when there is no file."""
    source, data = _open(path)
    return _checked(data, _where(path), source)


def validate(data: object, where: str) -> Environment:
    """Check an environment that something else has read, such as Pulumi's configuration.

    data: what stands under `config.ingot:environment`. where: how to call it in a refusal. Raises
    StackFileError with every problem; there are no lines to name.
    """
    return _checked(data, where, Source())


def environment_of(path: Path) -> dict[str, Any]:
    """The raw data of a file's environment, unchecked but for its YAML, to be changed and checked then.

    Raises StackFileError if the file cannot be read or holds no environment.
    """
    source, data = _open(path)
    if isinstance(data, dict) and not source.flaws:
        return data
    flaws = [] if isinstance(data, dict) else [Flaw(_ROOT, show(data), "a mapping", "write the environment below it")]
    raise _refusal(_where(path), source, flaws)


def with_image(data: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A copy of a raw environment (or of a whole raw stack file) whose fleet boots `version`.

    Images of single pools stay. The version is not checked here: `validate` does.
    """
    made: dict[str, Any] = copy.deepcopy(dict(data))
    config = made.get("config")
    environment = config.get(KEY) if isinstance(config, dict) else made
    if isinstance(environment, dict):
        image = environment.get("image")
        environment["image"] = {**(image if isinstance(image, dict) else {}), "version": version}
    return made


def as_file(data: Mapping[str, Any]) -> dict[str, Any]:
    """The raw stack file that holds this raw environment."""
    return {"config": {KEY: dict(data)}}


def dump(data: Mapping[str, Any]) -> str:
    """A raw stack file as YAML that `load` reads back as it was; the same data gives the same text."""
    text: str = yaml.safe_dump(copy.deepcopy(dict(data)), sort_keys=False, allow_unicode=True, width=120)
    return text


def _where(path: Path) -> str:
    """The file as a reader would name it: from the working directory, where it is below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _open(path: Path) -> tuple[Source, object]:
    """The text of a file and what stands under the environment's key. Raises StackFileError if that is nothing."""
    try:
        with path.open("rb") as file:
            source = read(file.read(BYTES_MAX + 1))
    except OSError as error:
        raise StackFileError(_where(path), [_unopened(path, error)]) from None
    here: object = source.data
    at: problem.Path = ()
    if source.data is None and source.flaws:
        raise _refusal(_where(path), source, [])
    for key in _ROOT:
        if at in source.holes:
            raise _refusal(_where(path), source, [])
        if not isinstance(here, dict) or key not in here:
            raise _refusal(_where(path), source, [_no_way(here, at, str(key))])
        here, at = here[key], (*at, key)
    return source, here


def _no_way(here: object, at: problem.Path, key: str) -> Flaw:
    """There is no environment, because `here` has no such key."""
    if not isinstance(here, dict):
        return Flaw(at, show(here), f"a mapping with the key {key}", f"write {key}: and the environment below it")
    near = difflib.get_close_matches(key, [k for k in here if isinstance(k, str)], n=1, cutoff=0.7)
    fix = f"did you mean {key} where it says {near[0]}?" if near else f"add {key}"
    return Flaw((*at, key), "nothing", "the environment" if key == KEY else f"the key {key}", fix)


def _unopened(path: Path, error: OSError) -> Problem:
    expected = "a stack file"
    stacks = sorted(p.name for p in path.parent.glob("Pulumi.*.yaml")) if path.parent.is_dir() else []
    if isinstance(error, FileNotFoundError):
        fix = f"use one of {', '.join(stacks)}, or write it" if stacks else "write it; docs/stack-file.md has all keys"
        return Problem("the file", None, "no such file", expected, fix)
    found = f"something that cannot be read: {error.strerror}"
    return Problem("the file", None, found, expected, "see to it that the file can be read")


def _checked(data: object, where: str, source: Source) -> Environment:
    """Shape and rules together. source: what is known of the text, empty if there is none."""
    base = len(_ROOT)
    written = {path[base:]: text for path, text in source.written.items() if path[:base] == _ROOT}
    environment, flaws = shape.check(data, written)
    flaws += rules.broken(sketch(data))
    if environment is None or flaws or source.flaws:
        raise _refusal(where, source, [Flaw((*_ROOT, *f.path), f.found, f.expected, f.fix) for f in flaws], data)
    return environment


def _refusal(where: str, source: Source, flaws: Sequence[Flaw], data: object = None) -> StackFileError:
    """All problems in the order of the file: of its text, of the shape, of the rules."""
    order = _order({"config": {KEY: data}} if source.data is None else source.data)
    found = [(f, _line(f.path, source)) for f in flaws if not _in_hole(f.path, source)]
    found = [*source.flaws, *found]
    found.sort(key=lambda item: (item[1] or 0, _rank(item[0].path, order)))
    return StackFileError(where, [Problem(path_text(f.path), line, f.found, f.expected, f.fix) for f, line in found])


def _in_hole(path: problem.Path, source: Source) -> bool:
    """Whether a flaw of the text is to blame for whatever is wrong at `path`."""
    return any(path[:n] in source.holes for n in range(len(path) + 1))


def _line(path: problem.Path, source: Source) -> int | None:
    """Where the value stands, or else the nearest thing around it."""
    return next((source.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in source.lines), None)


def _rank(path: problem.Path, order: Mapping[problem.Path, int]) -> tuple[int, str]:
    """What is missing comes right after what it is missing in."""
    return next(order[path[:n]] for n in range(len(path), -1, -1) if path[:n] in order), path_text(path)


def _order(data: object) -> dict[problem.Path, int]:
    """The position of every value, in the order in which a reader meets them."""
    order: dict[problem.Path, int] = {}
    todo: list[tuple[problem.Path, object]] = [((), data)]
    while todo and len(order) < VALUES_MAX:
        path, value = todo.pop()
        order[path] = len(order)
        if isinstance(value, Mapping):
            todo += reversed([((*path, k), v) for k, v in value.items()])
        elif isinstance(value, list | tuple):
            todo += reversed([((*path, i), v) for i, v in enumerate(value)])
    return order

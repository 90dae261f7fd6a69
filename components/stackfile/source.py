"""The text of a stack file, read so that nothing is lost: every key once, every value with its line.

YAML as most readers have it is too forgiving for a file that decides what is wiped: of two equal keys
the last silently wins, unquoted text turns into numbers, aliases grow without bound. All of that is
refused here, by name and line. Pure: text in, data and flaws out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from components.stackfile.problem import Flaw, Path, show

BYTES_MAX: Final = 1 << 20  # 1,000 hosts take a third of it
DEPTH_MAX: Final = 40  # a whole environment nests 9 deep
FLAWS_MAX: Final = 1_000  # of the text itself; a junk file is not worth more

_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCALARS = frozenset(f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "timestamp"))
_PLAIN = "tag:yaml.org,2002:str"
_LOADER = cast(Any, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass
class Source:
    """What a text holds. data: None if the text could not be read at all.

    lines: of each key and item, from 1. written: plain scalars that YAML turned into something else than
    text, as they stand. holes: where a flaw of the text left no value. flaws: with paths from the file's root.
    """

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    holes: set[Path] = field(default_factory=set)
    flaws: list[tuple[Flaw, int | None]] = field(default_factory=list)

    def add(self, path: Path, line: int | None, found: str, expected: str, fix: str) -> None:
        """Note a flaw of the text."""
        self.flaws.append((Flaw(path, found, expected, fix), line))


class _Stop(Exception):
    """The rest of the text is not worth reading: a flaw says why."""


def read(raw: bytes) -> Source:
    """Read the bytes of one stack file. Never raises: what is wrong is in `flaws`."""
    source = Source()
    text = _text(raw, source)
    if text is None:
        return source
    try:
        _Builder(source).build(yaml.parse(text, Loader=_LOADER))
    except _Stop:
        source.data = None
    except yaml.YAMLError as error:
        source.data = None
        _not_yaml(error, text, source)
    return source


def _text(raw: bytes, source: Source) -> str | None:
    expected = "a stack file: YAML in UTF-8"
    if len(raw) > BYTES_MAX:
        fix = "name the stack file itself, or split the fleet into several stacks"
        source.add((), None, f"more than {BYTES_MAX} bytes", "a stack file of 1 MiB at most", fix)
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        source.add((), line, "bytes that are not UTF-8", expected, "save the file as UTF-8 text, or name another file")
        return None
    if illegal := _ILLEGAL.search(text):
        line = text.count("\n", 0, illegal.start()) + 1
        found = f"the character U+{ord(illegal.group()):04X}, which YAML does not allow"
        source.add((), line, found, expected, "take the character out, or name another file")
        return None
    if not text.strip():
        source.add((), None, "an empty file", expected, "write the environment; docs/stack-file.md says what it holds")
        return None
    return text


def _not_yaml(error: yaml.YAMLError, text: str, source: Source) -> None:
    """Say where the text stops being YAML: without a snippet, and in words that do not depend on the reader."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = None if mark is None else min(mark.line, text.count("\n")) + 1
    lines = text.split("\n")
    if line is not None and re.match(r" *\t", lines[line - 1]):
        source.add(
            (), line, "a tab at the beginning of a line", "spaces; YAML allows no tabs there", "indent with spaces"
        )
        return
    fix = "look here and just above for a wrong indentation, an open quote or bracket, or a : without a space"
    source.add((), line, "text that is not YAML", "a stack file: YAML in UTF-8", fix)


@dataclass
class _Open:
    """A collection whose end has not come. keys: of a mapping, with their lines. key: awaits its value."""

    path: Path
    value: dict[object, object] | list[object]
    keys: dict[object, int] = field(default_factory=dict)
    key: object = None
    key_line: int | None = None
    dropped: bool = False


class _Builder:
    """Makes data from YAML's events, one by one, so that no text can make it recurse or grow."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[_Open] = []
        self.documents = 0
        self.resolver = Resolver()
        self.constructor = SafeConstructor()

    def build(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    fix = "take out the line --- and what follows it"
                    self.source.add((), line, "a second document", "one document", fix)
                    raise _Stop
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
            elif isinstance(event, yaml.NodeEvent):
                self._node(event, line)
            if len(self.source.flaws) >= FLAWS_MAX:
                raise _Stop

    def _node(self, event: yaml.NodeEvent, line: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key_line is None:
            self._key(top, event, line)
            return
        path, keep = self._place(top, line)
        value = self._value(event, path, line)
        if keep:
            self._store(top, path, value)
        if isinstance(value, dict | list) and isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) >= DEPTH_MAX:
                fix = "take out what is nested so deep"
                self.source.add(path, line, f"more than {DEPTH_MAX} levels", "a stack file", fix)
                raise _Stop
            self.stack.append(_Open(path, value, dropped=not keep))

    def _key(self, top: _Open, event: yaml.NodeEvent, line: int) -> None:
        """Take a mapping's next key. One that is no scalar is fatal: there is no path to speak of."""
        if not isinstance(event, yaml.ScalarEvent):
            kind = "an alias" if isinstance(event, yaml.AliasEvent) else "a mapping or a list"
            self.source.add(top.path, line, f"{kind} as a key", "a key that is one word", "write the key out")
            raise _Stop
        key = self._scalar(event, top.path, line)
        top.key, top.key_line = key, line
        if key not in top.keys:
            return
        first = top.keys[key]
        found = f"the key {show(key)} again; it is on line {first} already"
        self.source.add((*top.path, key), line, found, "every key once", f"keep one of lines {first} and {line}")

    def _place(self, top: _Open | None, line: int) -> tuple[Path, bool]:
        """Where the next value goes, and whether it is kept (of two equal keys, the first is)."""
        if top is None:
            return (), True
        if isinstance(top.value, list):
            path = (*top.path, len(top.value))
            if not top.dropped:
                self.source.lines[path] = line
            return path, not top.dropped
        path, keep = (*top.path, top.key), not top.dropped and top.key not in top.keys
        key_line, top.key_line = top.key_line or line, None
        top.keys.setdefault(top.key, key_line)
        if keep:
            self.source.lines[path] = key_line
        return path, keep

    def _store(self, top: _Open | None, path: Path, value: object) -> None:
        if top is None:
            self.source.data = value
        elif isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[path[-1]] = value

    def _value(self, event: yaml.NodeEvent, path: Path, line: int) -> object:
        if isinstance(event, yaml.AliasEvent):
            self.source.holes.add(path)
            fix = "write out what it stands for"
            self.source.add(path, line, f"the alias *{event.anchor}", "a value; aliases are not read here", fix)
            return None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path, line)
            if not event.style and not isinstance(value, str):
                self.source.written[path] = event.value
            return value
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self._tag(event.tag, path, line)
        return {} if isinstance(event, yaml.MappingStartEvent) else []

    def _scalar(self, event: yaml.ScalarEvent, path: Path, line: int) -> object:
        tag = event.tag
        if tag in (None, "!"):
            tag = self.resolver.resolve(ScalarNode, event.value, event.implicit)
            if tag not in _SCALARS:  # a merge key or a default key of YAML 1.1: plain words to others
                tag = _PLAIN
        if tag not in _SCALARS:
            self._tag(tag, path, line)
            return None
        try:
            return self._construct(tag, event.value)
        except (ValueError, KeyError, IndexError, AttributeError, OverflowError, ConstructorError):
            # What looks like a number or a date and is none: text to us, and the field says the rest.
            return event.value

    def _tag(self, tag: str, path: Path, line: int) -> None:
        self.source.holes.add(path)
        short = tag.replace("tag:yaml.org,2002:", "!!")
        self.source.add(path, line, f"the tag {show(short)}", "a value without a tag", "take out the tag")

    def _construct(self, tag: str, value: str) -> object:
        """What YAML makes of a scalar of this tag. Raises what its constructors happen to raise."""
        made: object = self.constructor.construct_object(ScalarNode(tag, value))
        self.constructor.constructed_objects.clear()  # it remembers every node, for aliases; there are none
        return made

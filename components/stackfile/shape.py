"""The shape of an environment: pydantic's errors as flaws, in words that say what to do."""

from __future__ import annotations

import datetime
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.environment import Environment
from components.fields import QUOTE_IT
from components.stackfile.problem import SECRET, Flaw, Path, show

_NO_TAG: Final = ("union_tag_not_found", "union_tag_invalid")
"""Nothing, or nothing known, says which model of a union is meant."""
_KEY = "[key]"  # where pydantic marks that a mapping's key is at fault, not its value

_EXPECTED: Final[Mapping[str, tuple[str, str]]] = {
    "model_type": ("a mapping", "write keys and values below it"),
    "model_attributes_type": ("a mapping", "write keys and values below it"),
    "dict_type": ("a mapping of names", "write a name and what belongs to it below"),
    "tuple_type": ("a list", "write one item a line, each after a -"),
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
    "invalid_key": ("a key that is text", QUOTE_IT),
}


def check(data: object, written: Mapping[Path, str]) -> tuple[Environment | None, list[Flaw]]:
    """The environment, or None and what is wrong with its shape.

    written: how the file writes values that YAML turned into something else than text. Raises nothing.
    """
    try:
        return Environment.model_validate(data), []
    except ValidationError as error:
        found = error.errors(include_url=False)
        return None, [_flaw(e, written) for e in found]


def _flaw(error: ErrorDetails, written: Mapping[Path, str]) -> Flaw:
    (path, model), value = _untagged(error["loc"]), error["input"]
    if error["type"] in _NO_TAG:
        path = (*path, str(error["ctx"]["discriminator"]).strip("'"))
        value = error["ctx"].get("tag")
        if error["type"] == "union_tag_not_found":
            return _missing(path)
    expected, fix = _wanted(error, value)
    if path[-1:] == (_KEY,):
        path = path[:-1]
        found = f"the name {show(value, as_what=fix == QUOTE_IT)}"
    elif error["type"] == "missing":
        return _missing(path, model)
    elif error["type"] == "extra_forbidden":
        return _unknown(path, model)
    elif SECRET.search(next((key for key in reversed(path) if isinstance(key, str)), "")):
        found = "a value that is not shown"
    else:
        found = show(value, written.get(path), as_what=fix == QUOTE_IT)
    return Flaw(path, found, expected, fix)


def _wanted(error: ErrorDetails, value: object) -> tuple[str, str]:
    """What was expected, and the fix."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "ingot":
        return str(context["expected"]), str(context["fix"])
    if kind in ("literal_error", "union_tag_invalid"):
        expected = str(context.get("expected") or context["expected_tags"]).replace("'", "")
        *most, last = expected.replace(" or ", ", ").split(", ")
        expected = f"{', '.join(most)} or {last}" if most else last
        near = _nearest(value, expected.replace(" or ", ", ").split(", "))
        if near is not None:
            return expected, f"did you mean {near}?"
        return expected, QUOTE_IT if isinstance(value, bool | int | float | datetime.date) else f"write {expected}"
    if kind == "too_short":
        return "one entry at least", "write one"
    if kind == "too_long":
        return f"{context['max_length']} entries at most", "take some out"
    return _EXPECTED.get(kind, (error["msg"], "write what is expected"))


def _missing(path: Path, model: Any = None) -> Flaw:
    """A key that is not there. model: that has it; the first of a union where that is not known."""
    key = path[-1]
    about = _field(model or _type_at(path[:-1]), key)
    says = about.description.rstrip(".") if about is not None and about.description else ""
    says = f" ({says[0].lower()}{says[1:]})" if says else ""
    return Flaw(path, "nothing", f"the key {key}{says}", f"add {key}")


def _unknown(path: Path, model: Any) -> Flaw:
    """A key that no field of `model` has. Its value is never shown: it may be a credential that strayed in."""
    known = sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    near = _nearest(path[-1], known)
    if near is not None:
        fix = f"did you mean {near}?"
    elif path[-1] == "secure":
        fix = "write it in the clear, without --secret; nothing in an environment is a secret"
    elif isinstance(path[-1], str) and SECRET.search(path[-1]):
        fix = "take it out; credentials never stand in a stack file"
    else:
        fix = "take it out"
    return Flaw(path, f"the unknown key {show(path[-1])}", f"one of {', '.join(known)}", fix)


def _nearest(word: object, known: Iterable[str]) -> str | None:
    if not isinstance(word, str):
        return None
    by_lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word[:100].lower().replace("-", "_"), by_lowered, n=1, cutoff=0.7)
    near = near or difflib.get_close_matches(word[:100].lower(), by_lowered, n=1, cutoff=0.7)
    return by_lowered[near[0]] if near else None


def _field(model: Any, key: object) -> FieldInfo | None:
    return model.model_fields.get(str(key)) if isinstance(model, type) and issubclass(model, BaseModel) else None


def _type_at(path: Path) -> Any:
    """The type that the models give to the value at `path`, or None; of a union, its first model."""
    here: Any = Environment
    for key in path:
        here = _inside(_models(here)[0], key)
    return _models(here)[0]


def _untagged(path: Path) -> tuple[Path, Any]:
    """Where a value is in the file, and the model that it is in: pydantic's path also names the model of each union
    that it went through."""
    here: Any = Environment
    found: list[object] = []
    holder: Any = None
    for key in path:
        tagged = [m for m in _models(here) if _tag(m) == key] if len(_models(here)) > 1 else []
        if tagged:
            here = tagged[0]
        else:
            holder = _models(here)[0]
            here = _inside(holder, key)
            found.append(key)
    return tuple(found), holder


def _inside(here: Any, key: object) -> Any:
    if isinstance(here, type) and issubclass(here, BaseModel):
        info = here.model_fields.get(str(key))
        return None if info is None else info.annotation
    if get_origin(here) in (dict, tuple):
        return get_args(here)[1 if get_origin(here) is dict else 0]
    return None


def _models(here: Any) -> list[Any]:
    """The members of a union, or the type alone; "or nothing" and annotations left out."""
    if get_origin(here) is Annotated:
        return _models(get_args(here)[0])
    if get_origin(here) in (Union, types.UnionType):
        return [m for a in get_args(here) if a is not type(None) for m in _models(a)]
    return [here]


def _tag(model: Any) -> object:
    """The one value of its `os` or `kind`, by which a union knows the model."""
    fields = getattr(model, "model_fields", {})
    says = next((fields[name].annotation for name in ("os", "kind") if name in fields), None)
    return get_args(says)[0] if says is not None and get_origin(says) is Literal else None

"""Reads values out of raw data, however broken the rest of it is. Pure, and raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

T = TypeVar("T")


def default(model: type[BaseModel], field: str) -> Any:
    """What the models take where the file says nothing."""
    return model.model_fields[field].default


def get(data: object, key: str, default: object = None) -> object:
    """data[key] as it stands; None where data is no mapping."""
    return data.get(key, default) if isinstance(data, Mapping) else None


def read(as_type: TypeAdapter[T], data: object, key: str, default: T | None = None) -> T | None:
    """data[key] as its type; the default where the key is absent; None where it cannot be read."""
    if not isinstance(data, Mapping):
        return None
    if key not in data:
        return default
    try:
        return as_type.validate_python(data[key])
    except ValidationError:
        return None


def read_list(as_type: TypeAdapter[T], data: object, key: str, default: Any = None) -> tuple[tuple[int, T], ...] | None:
    """The readable items of the list data[key] with their indices; None if it is no list."""
    if not isinstance(data, Mapping):
        return None
    items = data.get(key, default)
    if not isinstance(items, list | tuple):
        return None
    found = ((i, read(as_type, {"": item}, "")) for i, item in enumerate(items))
    return tuple((i, item) for i, item in found if item is not None)

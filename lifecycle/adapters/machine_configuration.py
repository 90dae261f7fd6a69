"""A Talos machine's whole configuration: what the state holds for its pool, and the patch that makes it the node's.

The merge is Talos' strategic merge as far as these patches need it (mappings merge, lists append, any other value
replaces; documents are told apart by kind and name). Talos' own packages agree with it on every
configuration of the fleet's (tests/lab/test_talos.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lifecycle.errors import PortError

REMEDY = "runbooks/talos.md#configuration, then run `pulumi up` again"
Document = dict[str, Any]


def completed(configuration: str, patch: str, what: str) -> str:
    """The configuration with the patch merged in, as JSON documents, which every reader of YAML reads.

    what: whose, for errors; these never say what is in it. Raises PortError if either is no stream of mappings.
    """
    documents = _documents(configuration, what)
    for change in _documents(patch, what):
        at = next((i for i, found in enumerate(documents) if _name(found) == _name(change)), None)
        if at is None:
            documents.append(change)
        else:
            documents[at] = merged(documents[at], change)
    return "---\n".join(json.dumps(document, sort_keys=True) + "\n" for document in documents)


def _name(document: Mapping[str, Any]) -> tuple[object, object]:
    """By which a document is told from the others: its kind, and its own name where a kind may come several times."""
    return document.get("kind"), document.get("name")


def merged(document: Mapping[str, Any], change: Mapping[str, Any]) -> Document:
    """One document with another merged into it."""
    result = dict(document)
    for key, value in change.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            result[key] = [*before, *value]
        else:
            result[key] = value
    return result


def _documents(text: str, what: str) -> list[Document]:
    import yaml

    try:
        found: Iterable[Any] = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        found = [None]
    documents = [document for document in found if isinstance(document, dict)]
    if not documents or len(documents) != len(list(found)):
        raise PortError(what, "something else than a stream of YAML mappings", REMEDY)
    return documents

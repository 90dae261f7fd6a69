"""The API server's own audit log: what USER changed, or asked to change, and all that the owners' identities ask for.

Nobody else leaves a trace in it, so it costs the lab nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.layout import ADMIN_GROUP, Layout
from lifecycle.permissions import Owner

USER = "lab:audited"
"""Whose requests are kept."""

VERBS = ["create", "update", "patch", "delete", "deletecollection"]


@dataclass(frozen=True)
class Change:
    """A request that would change something. what: as `create pods/eviction default/web-1`. status: HTTP's, of the
    answer. at_s: when it arrived, on this machine's clock."""

    what: str
    status: int
    at_s: float


def flags(layout: Layout) -> dict[str, str]:
    """What makes an API server keep it."""
    policy = layout.folder / "audit.json"
    rules: list[dict[str, object]] = [
        {"level": "Metadata", "users": [USER], "verbs": VERBS},
        {"level": "Metadata", "userGroups": [owner.group for owner in Owner]},
        {"level": "None"},
    ]
    # A watch is logged when it is answered, not only when it ends.
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    policy.write_text(json.dumps(document), encoding="utf-8")
    return {"audit-policy-file": str(policy), "audit-log-path": str(layout.audit_log)}


def kubeconfig(layout: Layout) -> Path:
    """USER's, who may do everything."""
    return layout.kubeconfig("audited", USER, ADMIN_GROUP)


def changes(layout: Layout) -> list[Change]:
    """USER's so far, in the order of their answers."""
    events = (json.loads(line) for line in lines(layout))
    return [_change(event) for event in events if event["user"]["username"] == USER]


def lines(layout: Layout) -> list[str]:
    """All that was written whole so far, one event each."""
    text = layout.audit_log.read_text(encoding="utf-8") if layout.audit_log.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _change(event: dict[str, object]) -> Change:
    told = event.get("objectRef")
    of: dict[str, str] = told if isinstance(told, dict) else {}
    kind = "/".join(part for part in (of.get("resource", "?"), of.get("subresource", "")) if part)
    name = "/".join(part for part in (of.get("namespace", ""), of.get("name", "")) if part)
    answer = event.get("responseStatus")
    status = int(answer.get("code", 0)) if isinstance(answer, dict) else 0
    at_s = datetime.fromisoformat(str(event["requestReceivedTimestamp"])).timestamp()
    return Change(f"{event['verb']} {kind} {name}", status, at_s)

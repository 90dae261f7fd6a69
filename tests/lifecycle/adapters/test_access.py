"""Permissions as the API server is asked for them, and roles as it is given them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lifecycle import rbac
from lifecycle.adapters.access import ApiAccess, where
from lifecycle.errors import PortError
from lifecycle.permissions import STEPS, Owner, permissions
from tests.lifecycle.adapters.api_server import connected
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MARK = "/apis/rbac.authorization.k8s.io/v1/clusterroles/ingot:host-lifecycle".replace(":", "%3A")
ROLL = sum(len(permissions(owner, "csi")) for owner in STEPS)


class Server:
    """Refuses what `refuses` says, and keeps what is applied."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.refuses: Callable[[dict[str, str]], bool] = lambda attributes: False
        self.applied: list[tuple[str, str, Any]] = []
        wire.on("POST", REVIEWS, self.review)
        wire.on("POST", WHO, Reply(body={"status": {"userInfo": {"username": "ann", "groups": ["ops", "night"]}}}))
        wire.otherwise = self.other

    def review(self, asked: Asked) -> Reply:
        refused = self.refuses(asked.body["spec"]["resourceAttributes"])
        return Reply(201, {"status": {"allowed": not refused}})

    def other(self, asked: Asked) -> Reply:
        if asked.method != "PATCH":
            return Reply(404, {"kind": "Status", "code": 404})
        headers = {name.lower(): value for name, value in asked.headers.items()}
        self.applied.append((asked.path, headers["content-type"], asked.query))
        return Reply(201, asked.body)


@pytest.fixture
def server(wire: Wire) -> Server:
    return Server(wire)


@pytest.fixture
def access(server: Server, clock: StillClock) -> ApiAccess:
    api = connected(server.wire.url, clock)
    return ApiAccess(dict.fromkeys(STEPS, api), lambda: api, "csi")


class TestForbidden:
    """One review for each permission of the owners whose code runs, and who it is only if something is missing."""

    def test_is_nothing_where_all_is_allowed(self, server: Server, access: ApiAccess) -> None:
        assert access.forbidden() == ()
        assert [a.path for a in server.wire.asked] == [REVIEWS] * ROLL

    def test_names_permission_and_identity(self, server: Server, access: ApiAccess) -> None:
        server.refuses = lambda a: (a["verb"], a["resource"], a["subresource"]) == ("create", "pods", "eviction")
        (missing,) = access.forbidden()
        assert str(missing.permission) == "create pods/eviction in all namespaces"
        assert missing.permission.owner is Owner.HOST_LIFECYCLE
        assert missing.who == "user ann (groups ops, night)"

    def test_asks_for_the_very_object(self, server: Server, access: ApiAccess) -> None:
        access.forbidden()
        asked = [a.body["spec"]["resourceAttributes"] for a in server.wire.asked]
        roster = {"verb": "update", "group": "", "resource": "configmaps", "subresource": ""}
        assert {**roster, "namespace": "ingot-system", "name": "ingot-roster"} in asked
        secret = {"verb": "get", "group": "", "resource": "secrets", "subresource": "", "namespace": "csi"}
        assert {**secret, "name": "simplyblock-csi-secret-v2"} in asked

    @pytest.mark.parametrize("body", [{}, {"status": None}, {"status": {"allowed": "yes"}}], ids=json.dumps)
    def test_takes_no_answer_for_a_yes(self, server: Server, access: ApiAccess, body: Any) -> None:
        server.wire.on("POST", REVIEWS, Reply(201, body))
        assert len(access.forbidden()) == ROLL

    def test_says_when_it_may_not_even_ask(self, server: Server, access: ApiAccess) -> None:
        server.wire.on("POST", REVIEWS, Reply(403, {"kind": "Status", "message": "no reviews for ann"}))
        with pytest.raises(PortError, match="no reviews for ann"):
            access.forbidden()


class TestGrant:
    """Makes the roles where there are none and the authority is ours."""

    def test_applies_every_object_in_order(self, server: Server, access: ApiAccess) -> None:
        assert access.grant() is True
        made = [where(item) for item in rbac.manifests("csi")]
        assert [path for path, _, _ in server.applied] == made
        assert made[-1] == MARK
        assert {kind for _, kind, _ in server.applied} == {"application/apply-patch+yaml"}
        assert {query for _, _, query in server.applied} == {"fieldManager=ingot&force=true"}

    def test_leaves_roles_that_are_there(self, server: Server, access: ApiAccess) -> None:
        server.wire.on("GET", MARK, Reply(body={"kind": "ClusterRole", "metadata": {}}))
        assert access.grant() is False
        assert server.applied == []

    def test_is_not_ours_to_do_in_somebody_elses_cluster(self, server: Server, clock: StillClock) -> None:
        assert ApiAccess({}, None, "csi").grant() is False
        assert server.wire.asked == []

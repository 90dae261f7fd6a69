"""The kubeconfig is a function of PKI and endpoint."""

from __future__ import annotations

import base64
import json

from components.kubernetes.kubeconfig import RENEW_HOURS, VALID_HOURS, kubeconfig

DOCUMENT = kubeconfig("metal", "https://api.metal.example:6443", "CA", "CERTIFICATE", "KEY")


class TestKubeconfig:
    """One cluster, one user, one context, in one fixed form."""

    def test_names_the_endpoint_and_no_machine(self) -> None:
        clusters = json.loads(DOCUMENT)["clusters"]
        assert clusters == [
            {
                "name": "metal",
                "cluster": {
                    "server": "https://api.metal.example:6443",
                    "certificate-authority-data": base64.b64encode(b"CA").decode(),
                },
            }
        ]

    def test_carries_the_administrators_certificate(self) -> None:
        (user,) = json.loads(DOCUMENT)["users"]
        decoded = {key: base64.b64decode(value) for key, value in user["user"].items()}
        assert decoded == {"client-certificate-data": b"CERTIFICATE", "client-key-data": b"KEY"}

    def test_uses_them_together(self) -> None:
        document = json.loads(DOCUMENT)
        (context,) = document["contexts"]
        assert context["context"] == {"cluster": "metal", "user": document["users"][0]["name"]}
        assert document["current-context"] == context["name"]

    def test_is_the_same_bytes_for_the_same_input(self) -> None:
        assert kubeconfig("metal", "https://api.metal.example:6443", "CA", "CERTIFICATE", "KEY") == DOCUMENT


class TestValidity:
    """A fleet that is rolled once a year never meets an expired certificate."""

    def test_is_renewed_a_year_ahead(self) -> None:
        assert RENEW_HOURS >= 366 * 24 - 24
        assert VALID_HOURS > 2 * RENEW_HOURS

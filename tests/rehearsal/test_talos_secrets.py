"""rehearsal/talos_secrets.py: what is new opens something, what is masked opens nothing and is of the same form."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rehearsal import talos_secrets


def leaves(value: Any, at: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {at: value}
    return {k: v for key, inner in value.items() for k, v in leaves(inner, f"{at}/{key}").items()}


class TestMasked:
    """The same everywhere, and no secret of anybody's."""

    def test_is_always_the_same(self) -> None:
        assert talos_secrets.masked() == talos_secrets.masked()

    def test_has_every_field_that_a_new_one_has_and_no_value_of_it(self) -> None:
        new, masked = leaves(talos_secrets.new()["machineSecrets"]), leaves(talos_secrets.masked())
        assert new.keys() == masked.keys()
        assert not set(new.values()) & set(masked.values())

    def test_its_certificates_and_keys_can_be_read_and_expired_long_ago(self) -> None:
        certs = talos_secrets.masked()["certs"]
        for name in talos_secrets.AUTHORITIES:
            certificate = x509.load_pem_x509_certificate(base64.b64decode(certs[name]["cert"]))
            assert certificate.not_valid_after_utc.year < 2011
            pem = base64.b64decode(certs[name]["key"]).replace(b" ED25519", b"")
            assert load_pem_private_key(pem, None).public_key() == certificate.public_key()


class TestNew:
    """Never twice the same."""

    def test_is_another_each_time(self) -> None:
        first, second = (leaves(talos_secrets.new()["machineSecrets"]) for _ in range(2))
        assert all(first[key] != second[key] for key in first)

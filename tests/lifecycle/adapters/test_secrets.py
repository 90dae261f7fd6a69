"""Secrets: from the stack's state or a private file, and from nowhere else; never in a text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lifecycle.adapters.secrets import BmcCredentials, StateSecrets, bmc_credentials
from lifecycle.adapters.talos_state import SECRET_KEY, SECRET_SIGNATURE, patch_digest
from lifecycle.adapters.tls import Authority
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Role
from tests.lifecycle.fleets import pin

KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)


PATCHES = ('{"machine": {"install": {"wipe": true}}}', '{"machine": {"install": {"disk": "/dev/disk/by-id/os"}}}')


def hidden(text: Any) -> dict[str, str]:
    return {SECRET_KEY: SECRET_SIGNATURE, "plaintext": json.dumps(text)}


def resource(kind: str, name: str, **outputs: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:metal::ingot::ingot:index:Fleet${kind}::{name}"
    return {"urn": urn, "type": kind, "outputs": outputs}


def state(*extra: dict[str, Any]) -> dict[str, Any]:
    key, certificate = "tls:index/privateKey:PrivateKey", "tls:index/selfSignedCert:SelfSignedCert"
    resources = [{"urn": "urn:pulumi:metal::ingot::pulumi:pulumi:Stack::ingot-metal", "type": "pulumi:pulumi:Stack"}]
    for name in ("ca", "etcd-ca", "front-proxy-ca"):
        resources += [
            resource(key, f"{name}-key", privateKeyPem=hidden(f"key of {name}")),
            resource(certificate, name, certPem=f"certificate of {name}"),
        ]
    resources.append(resource(key, "service-account-key", privateKeyPem=hidden(KEY_PEM), publicKeyPem="other"))
    return {"version": 3, "deployment": {"resources": [*resources, *extra]}}


class Pulumi:
    """A `pulumi` on PATH that prints what the engine would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder}:/usr/bin:/bin"}

    def says(self, *, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        (self.folder / "stdout").write_text(stdout)
        (self.folder / "stderr").write_text(stderr)
        program = self.folder / "pulumi"
        here = f"'{self.folder}'"
        program.write_text(
            f'#!/bin/sh\necho "$PWD $@" >> {here}/calls\ncat {here}/stdout\ncat {here}/stderr >&2\nexit {code}\n'
        )
        program.chmod(0o755)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    (tmp_path / "bin").mkdir()
    return Pulumi(tmp_path / "bin")


def secrets_of(root: Path, environment: dict[str, str]) -> StateSecrets:
    return StateSecrets("metal", lambda: root, lambda: "api.example:6443", environment, lambda pin: PATCHES)


def talos_state(patch: str = PATCHES[0]) -> dict[str, Any]:
    """What `components/kubernetes/talos.py` leaves in the state, as the engine exports it."""

    def encoded(pem: str) -> str:
        return base64.b64encode(pem.encode()).decode()

    def pair(name: str) -> dict[str, Any]:
        return {"cert": encoded(f"certificate of {name}"), "key": hidden(encoded(f"key of {name}"))}

    machine_key = "-----BEGIN ED25519 PRIVATE KEY-----\nMC4=\n-----END ED25519 PRIVATE KEY-----\n"
    certs = {name: pair(name) for name in ("k8s", "etcd", "k8sAggregator")}
    certs["os"] = {"cert": encoded("certificate of os"), "key": encoded(machine_key)}
    certs["k8sServiceaccount"] = {"key": encoded(KEY_PEM)}
    kept = {"patch": patch_digest(patch), "configuration": "machine: {token: very-secret, install: {disk: none}}"}
    resources = [
        resource("talos:machine/secrets:Secrets", "talos-secrets", machineSecrets=hidden({"certs": certs})),
        resource("pulumi:index:Stash", "workers.talos-configuration", input=hidden(kept)),
    ]
    return {"version": 3, "deployment": {"resources": resources}}


class TestOfTalos:
    """The same authorities under the same names, the machines' own, and configurations that become a node's."""

    def test_authorities(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(talos_state()))
        secrets = secrets_of(tmp_path, pulumi.environment)
        assert secrets.authority("ca") == Authority("ca", "certificate of k8s", "key of k8s")
        assert secrets.authority("etcd-ca") == Authority("etcd-ca", "certificate of etcd", "key of etcd")
        machines = secrets.authority("os-ca")
        assert machines.certificate == "certificate of os"
        assert machines.key.startswith("-----BEGIN PRIVATE KEY-----\n")
        assert len(pulumi.calls()) == 1

    def test_a_configuration_is_completed_with_the_nodes_own(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(talos_state()))
        found = secrets_of(tmp_path, pulumi.environment).configuration(pin("w1", pool="workers"))
        assert json.loads(found) == {"machine": {"token": "very-secret", "install": {"disk": "/dev/disk/by-id/os"}}}

    @pytest.mark.parametrize(
        ("pool", "patch", "found"),
        [
            ("others", PATCHES[0], "found none for its pool others"),
            ("workers", "{}", "found one that was made from another stack file or lock"),
        ],
    )
    def test_what_is_not_this_generations_is_refused(
        self, pool: str, patch: str, found: str, tmp_path: Path, pulumi: Pulumi
    ) -> None:
        pulumi.says(stdout=json.dumps(talos_state(patch)))
        with pytest.raises(PortError, match=found) as refused:
            secrets_of(tmp_path, pulumi.environment).configuration(pin("w1", pool=pool))
        assert "very-secret" not in str(refused.value)

    def test_a_cluster_of_kubeadm_has_no_machine_authority(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(state()))
        with pytest.raises(PortError, match="no os-ca"):
            secrets_of(tmp_path, pulumi.environment).authority("os-ca")


class TestFromTheState:
    """The tls resources' outputs, by their names."""

    def test_a_control_plane_gets_every_file(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(state()))
        found = secrets_of(tmp_path, pulumi.environment).pki(Role.CONTROL_PLANE)
        assert found == {
            "ca.crt": "certificate of ca",
            "ca.key": "key of ca",
            "etcd/ca.crt": "certificate of etcd-ca",
            "etcd/ca.key": "key of etcd-ca",
            "front-proxy-ca.crt": "certificate of front-proxy-ca",
            "front-proxy-ca.key": "key of front-proxy-ca",
            "sa.key": KEY_PEM,
            "sa.pub": PUBLIC_PEM,
        }

    def test_a_worker_gets_no_key(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(state()))
        assert secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER) == {"ca.crt": "certificate of ca"}

    def test_the_engine_is_asked_once_in_the_project(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(state()))
        secrets = secrets_of(tmp_path, pulumi.environment)
        authority = secrets.authority("etcd-ca")
        secrets.pki(Role.WORKER)
        assert (authority.certificate, authority.key) == ("certificate of etcd-ca", "key of etcd-ca")
        assert "key of" not in repr(authority)
        assert pulumi.calls() == [f"{tmp_path} stack export --show-secrets --non-interactive --stack metal"]

    def test_a_resource_that_waits_for_its_delete_does_not_count(self, tmp_path: Path, pulumi: Pulumi) -> None:
        old = {**resource("tls:index/selfSignedCert:SelfSignedCert", "ca", certPem="old"), "delete": True}
        pulumi.says(stdout=json.dumps(state(old)))
        assert secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER)["ca.crt"] == "certificate of ca"

    def test_a_namesake_of_another_type_does_not_count(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout=json.dumps(state(resource("kubernetes:core/v1:Secret", "ca", certPem="other"))))
        assert secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER)["ca.crt"] == "certificate of ca"

    def test_the_endpoint_needs_no_state(self, tmp_path: Path) -> None:
        assert secrets_of(tmp_path, {}).endpoint() == "api.example:6443"

    @pytest.mark.parametrize("resources", [None, []])
    def test_a_stack_that_has_none_yet(self, tmp_path: Path, pulumi: Pulumi, resources: Any) -> None:
        pulumi.says(stdout=json.dumps({"deployment": {"resources": resources}}))
        with pytest.raises(PortError, match=r"secrets of stack metal.*no ca\b.*INGOT_SECRETS_FILE"):
            secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER)

    def test_a_refusal_of_the_engine_is_told_without_its_output(self, tmp_path: Path, pulumi: Pulumi) -> None:
        pulumi.says(stdout="key of ca", stderr="warning: x\nerror: incorrect passphrase\n", code=255)
        with pytest.raises(PortError, match=r"stack export.*error: incorrect passphrase") as caught:
            secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER)
        assert "key of ca" not in str(caught.value)

    @pytest.mark.parametrize("stdout", ["", "key of ca", "[]", '{"deployment": {"resources": [7]}}'])
    def test_garbage_is_not_shown(self, tmp_path: Path, pulumi: Pulumi, stdout: str) -> None:
        pulumi.says(stdout=stdout)
        with pytest.raises(PortError, match="exported state") as caught:
            secrets_of(tmp_path, pulumi.environment).pki(Role.WORKER)
        assert "key of ca" not in str(caught.value)

    def test_no_engine(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"no pulumi on PATH.*INGOT_SECRETS_FILE"):
            secrets_of(tmp_path, {"PATH": str(tmp_path)}).pki(Role.WORKER)


class TestFromAFile:
    """INGOT_SECRETS_FILE, only if nobody else may read it."""

    def write(self, folder: Path, text: str, mode: int = 0o600) -> dict[str, str]:
        file = folder / "secrets.json"
        file.write_text(text)
        file.chmod(mode)
        return {"INGOT_SECRETS_FILE": str(file)}

    def test_it_is_used_instead_of_the_state(self, tmp_path: Path) -> None:
        found = {"ca": {"cert": "C", "key": "K"}, "service-account": {"key": KEY_PEM}}
        secrets = secrets_of(tmp_path, self.write(tmp_path, json.dumps(found)))
        assert secrets.pki(Role.WORKER) == {"ca.crt": "C"}
        assert secrets.authority("ca").key == "K"
        with pytest.raises(PortError, match="no etcd-ca"):
            secrets.pki(Role.CONTROL_PLANE)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
    def test_others_may_not_read_it(self, tmp_path: Path, mode: int) -> None:
        with pytest.raises(NeedsAttention, match=rf"mode {mode:04o}.*chmod 600"):
            secrets_of(tmp_path, self.write(tmp_path, "{}", mode)).pki(Role.WORKER)

    @pytest.mark.parametrize(
        "text", ["", "_K-E-Y_", "[1]", '{"ca": "_K-E-Y_"}', '{"ca": 7}', '{"service-account": {"key": "_K-E-Y_"}}']
    )
    def test_garbage_is_not_shown(self, tmp_path: Path, text: str) -> None:
        with pytest.raises((NeedsAttention, PortError), match=r"secrets") as caught:
            secrets_of(tmp_path, self.write(tmp_path, text)).pki(Role.WORKER)
        assert "_K-E-Y_" not in str(caught.value)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"absent\.json: found No such file"):
            secrets_of(tmp_path, {"INGOT_SECRETS_FILE": str(tmp_path / "absent.json")}).pki(Role.WORKER)


class TestBmcCredentials:
    """A host's own entry, the file's default, the environment: in this order."""

    ENVIRONMENT: ClassVar = {"INGOT_BMC_USERNAME": "admin", "INGOT_BMC_PASSWORD": "env"}

    def file(self, folder: Path, text: str, mode: int = 0o600) -> dict[str, str]:
        path = folder / "credentials.yaml"
        path.write_text(text)
        path.chmod(mode)
        return {**self.ENVIRONMENT, "INGOT_CREDENTIALS_FILE": str(path)}

    def test_the_environment(self) -> None:
        assert bmc_credentials("w1", self.ENVIRONMENT) == BmcCredentials("admin", "env")

    def test_the_file_goes_first(self, tmp_path: Path) -> None:
        text = "default: {username: d, password: dp}\nhosts:\n  w1: {username: h, password: hp}\n"
        environment = self.file(tmp_path, text)
        assert bmc_credentials("w1", environment) == BmcCredentials("h", "hp")
        assert bmc_credentials("w2", environment) == BmcCredentials("d", "dp")

    def test_a_file_without_this_host_leaves_the_environment(self, tmp_path: Path) -> None:
        environment = self.file(tmp_path, "hosts:\n  w1: {username: h, password: hp}\n")
        assert bmc_credentials("w2", environment) == BmcCredentials("admin", "env")

    @pytest.mark.parametrize("environment", [{}, {"INGOT_BMC_USERNAME": "admin"}])
    def test_none_names_both_ways(self, environment: dict[str, str]) -> None:
        with pytest.raises(NeedsAttention, match=r"BMC of w1.*INGOT_BMC_USERNAME.*INGOT_CREDENTIALS_FILE"):
            bmc_credentials("w1", environment)

    @pytest.mark.parametrize("text", ["[", "- 1", "hosts: 7", "default: {username: d}", "hosts: {w1: pa55}"])
    def test_a_file_of_another_shape_is_not_shown(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(NeedsAttention, match=r"credentials.*credentials\.yaml") as caught:
            bmc_credentials("w1", self.file(tmp_path, text))
        assert "pa55" not in str(caught.value)

    def test_a_file_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match="mode 0644"):
            bmc_credentials("w1", self.file(tmp_path, "default: {username: d, password: dp}", 0o644))

    def test_no_password_in_a_repr(self) -> None:
        assert "env" not in repr(bmc_credentials("w1", self.ENVIRONMENT))

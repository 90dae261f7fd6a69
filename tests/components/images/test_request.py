"""components/images/request.py: what every OS's module must do, over the wire, with the publishers' own names.

The publishers cannot be reached from a test. A proxy on loopback stands in for the net, and a server with a
certificate for their hosts for them; all between the request and the socket is what runs in earnest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.images import fedora_coreos, flatcar, talos
from components.images.document import LockError
from components.images.lock import Release
from components.images.publishers import PUBLISHERS, Publisher
from components.images.request import Given, Request, oses
from components.images.schematic import DEFAULT
from components.images.signature import NotVerified
from components.images.sources import NotFetched, Wire

BUILDS = "https://builds.coreos.fedoraproject.org"
FLATCAR = "https://stable.release.flatcar-linux.net/amd64-usr/4593.2.4"
FACTORY = "https://factory.talos.dev"
CLOUD = "https://github.com/siderolabs/talos/releases/download/v1.13.9/cloud-images.json"
ASSET = "https://release-assets.githubusercontent.com/cloud-images"
VERSIONS = {"fedora-coreos": "44.20260101.3.0", "flatcar": "4593.2.4", "talos": "v1.13.9"}


def part(name: str) -> dict[str, str]:
    return {"location": f"{BUILDS}/{name}", "signature": f"{BUILDS}/{name}.sig", "sha256": "a" * 64}


def stream() -> dict[str, Any]:
    formats: dict[str, dict[str, Any]] = {}
    for name, (fmt, key) in fedora_coreos.WHERE.items():
        formats.setdefault(fmt, {})[key] = part(name)
    metal = {"release": VERSIONS["fedora-coreos"], "formats": formats}
    return {"architectures": {"x86_64": {"artifacts": {"metal": metal}}}}


def publish(server: Any, os: str, signer: Any) -> str:
    """Everything that the OS's publisher has of one release. Returns the URL of its list or metadata."""
    if os == "fedora-coreos":
        server.put(f"{BUILDS}/streams/stable.json", json.dumps(stream()).encode())
        return f"{BUILDS}/streams/stable.json"
    if os == "flatcar":
        server.put(f"{FLATCAR}/version.txt", b"FLATCAR_VERSION=4593.2.4\nFLATCAR_VERSION_ID=4593.2.4\n")
        server.put(f"{FLATCAR}/{flatcar.AMIS}", b'{"amis": []}')
        for name in flatcar.FILES.values():
            server.put(f"{FLATCAR}/{name}", name.encode())
            server.put(f"{FLATCAR}/{name}.sig", signer.signed(name.encode()))
        server.put(PUBLISHERS["flatcar"].keys_url, signer.public)
        return f"{FLATCAR}/{flatcar.AMIS}"
    for pattern in talos.FILES.values():
        server.put(f"{FACTORY}/image/{DEFAULT.id}/v1.13.9/{pattern.format('amd64')}", b"bytes")
    server.put(f"{FACTORY}/v2/metal-installer/{DEFAULT.id}/manifests/v1.13.9", b'{"schemaVersion": 2}')
    server.put(f"{FACTORY}/schematics", json.dumps({"id": DEFAULT.id}).encode(), status=201)
    server.put(CLOUD, b"", status=302, Location=f"{ASSET}?signed=x")
    server.put(f"{ASSET}?signed=x", b"[]")
    return CLOUD


def obtain(server: Any, os: str, folder: Path, signer: Any, **asked: Any) -> tuple[Release, ...]:
    """As `ingot image pin` does, but for Flatcar's key, which is ours."""
    source = Wire(PUBLISHERS[os], server.clock, folder)
    request = Request(VERSIONS[os], ("x86_64",), **asked)
    if os == "flatcar":
        ours = Publisher(PUBLISHERS[os].hosts, PUBLISHERS[os].keys_url, {"": signer.fingerprint})
        return flatcar.obtain(request, source, lambda _: None, {os: ours})
    return oses()[os].obtain(request, source, lambda _: None)


@pytest.mark.parametrize("os", sorted(oses()))
class TestEveryOs:
    """Reads its publisher's files over HTTPS, and is refused cleanly by a publisher that is not itself."""

    def test_is_obtained(self, internet: Any, os: str, tmp_path: Path, signer: Any) -> None:
        publish(internet, os, signer)
        (release,) = obtain(internet, os, tmp_path, signer)
        assert (release.os, release.version, release.architecture) == (os, VERSIONS[os], "x86_64")
        assert release.artifact("metal").url.startswith("https://")
        hosts = {tunnel.removesuffix(":443") for tunnel in internet.tunnels}
        assert hosts <= PUBLISHERS[os].hosts

    def test_has_a_publisher(self, internet: Any, os: str, tmp_path: Path, signer: Any) -> None:
        assert PUBLISHERS[os].hosts
        assert oses()[os].channel(VERSIONS[os]) not in ("", "other")

    @pytest.mark.parametrize("to", ["https://evil.example/x", "http://127.0.0.1/x", "https://169.254.169.254/latest"])
    def test_follows_no_redirect_elsewhere(self, internet: Any, os: str, to: str, tmp_path: Path, signer: Any) -> None:
        internet.put(publish(internet, os, signer), b"", status=302, Location=to)
        with pytest.raises(NotFetched, match="expected a redirect to https on"):
            obtain(internet, os, tmp_path, signer)
        assert not {t for t in internet.tunnels if t.removesuffix(":443") not in PUBLISHERS[os].hosts}

    @pytest.mark.parametrize(
        "bomb",
        [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"architectures": NaN}', b'{"amis": [], "amis": []}', b"\xff" * 99],
    )
    def test_refuses_a_bomb(self, internet: Any, os: str, bomb: bytes, tmp_path: Path, signer: Any) -> None:
        url = publish(internet, os, signer)
        internet.put(f"{ASSET}?signed=x" if os == "talos" else url, bomb)
        with pytest.raises(LockError, match="expected"):
            obtain(internet, os, tmp_path, signer)

    def test_refuses_two_gibibytes(self, internet: Any, os: str, tmp_path: Path, signer: Any) -> None:
        url = publish(internet, os, signer)
        internet.put(f"{ASSET}?signed=x" if os == "talos" else url, b"", Content_Length=str(2 << 30))
        with pytest.raises(NotFetched, match=f"at most 8388608 bytes, found {2 << 30} announced"):
            obtain(internet, os, tmp_path, signer)

    def test_refuses_metadata_on_a_host_of_somebody_else(
        self, internet: Any, os: str, tmp_path: Path, signer: Any
    ) -> None:
        source = Wire(PUBLISHERS[os], internet.clock, tmp_path)
        with pytest.raises(NotFetched, match="expected https on one of the publisher's hosts"):
            source.read("https://evil.example/stable.json", bytes_max=99)
        assert internet.tunnels == []

    def test_tells_what_a_document_of_another_is_not(self, internet: Any, os: str, tmp_path: Path, signer: Any) -> None:
        assert oses()[os].offers(Given("x.json", b"7", "x.json")) is None


class TestTheFactoryOverTheWire:
    """Its answer is compared, whatever else it sends."""

    def test_another_identifier(self, internet: Any, tmp_path: Path, signer: Any) -> None:
        publish(internet, "talos", signer)
        internet.put(f"{FACTORY}/schematics", json.dumps({"id": "0" * 64}).encode(), status=201)
        with pytest.raises(NotVerified, match=f"expected {DEFAULT.id}, found"):
            obtain(internet, "talos", tmp_path, signer)

    def test_an_error(self, internet: Any, tmp_path: Path, signer: Any) -> None:
        publish(internet, "talos", signer)
        internet.put(f"{FACTORY}/schematics", b"yaml: line 2: field", status=400)
        with pytest.raises(NotFetched, match="HTTP 400"):
            obtain(internet, "talos", tmp_path, signer)


class TestFlatcarOverTheWire:
    """Bytes and signatures come from one place; the fingerprint does not."""

    def test_a_file_that_was_exchanged(self, internet: Any, tmp_path: Path, signer: Any, stranger: Any) -> None:
        publish(internet, "flatcar", signer)
        name = flatcar.FILES["metal"]
        internet.put(f"{FLATCAR}/{name}", b"forged")
        internet.put(f"{FLATCAR}/{name}.sig", stranger.signed(b"forged"))
        internet.put(PUBLISHERS["flatcar"].keys_url, stranger.public + signer.public)
        with pytest.raises(NotVerified, match="one that does not verify"):
            obtain(internet, "flatcar", tmp_path, signer)

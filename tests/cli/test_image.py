"""`ingot image`: what a user types and sees. What is refused leaves the lock as it was, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pysequoia import SignatureMode, Tsk, sign
from typer.testing import CliRunner, Result

from cli.main import app
from components.images import fedora_coreos
from components.images.document import LockError
from components.images.lock import Lock, UnknownRelease, load
from components.images.schematic import DEFAULT
from components.images.signature import NotVerified
from components.images.sources import NotFetched

REPOSITORY = Path(__file__).parents[2]
VERSION = "44.20260101.3.0"
BUILDS = "builds.coreos.fedoraproject.org"
FACTORY = "factory.talos.dev"


def content(name: str, version: str = VERSION) -> bytes:
    return f"the bytes of {name} {version}".encode()


def stream(version: str = VERSION, architectures: tuple[str, ...] = ("x86_64", "aarch64")) -> dict[str, Any]:
    """A stream's metadata in which every digest is that of `content`."""
    formats: dict[str, dict[str, Any]] = {}
    for name, (fmt, key) in fedora_coreos.WHERE.items():
        url = f"https://{BUILDS}/{version}/{name}"
        digest = hashlib.sha256(content(name, version)).hexdigest()
        formats.setdefault(fmt, {})[key] = {"location": url, "signature": f"{url}.sig", "sha256": digest}
    regions = {"eu-central-1": {"release": version, "image": "ami-0123456789abcdef0"}}
    metal = {"release": version, "formats": formats, "unknown": [1]}
    described = {"artifacts": {"metal": metal}, "images": {"aws": {"regions": regions}}}
    return {"stream": "stable", "architectures": dict.fromkeys(architectures, described)}


@dataclass
class Site:
    """A folder with a lock, a mirror and metadata, and the command line."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "images.lock.json"

    @property
    def files(self) -> Path:
        return self.root / "mirror"

    def write(self, name: str, data: object) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return str(path)

    def ingot(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["image", *arguments, "--lock", str(self.lock)])

    def pin(self, document: object, *more: str, version: str = VERSION) -> Result:
        metadata = ("--metadata", self.write("stable.json", document))
        return self.ingot("pin", "fedora-coreos", version, *metadata, "--files", str(self.files), *more)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.lock.write_bytes(Lock().to_bytes())
    made.files.mkdir()
    return made


class TestPin:
    """Writes what was read and checked; says what."""

    def test_writes_the_lock(self, site: Site) -> None:
        shown = site.pin(stream())
        assert shown.exit_code == 0, shown.output
        assert "fedora-coreos 44.20260101.3.0 (x86_64): 6 artifacts, 1 AMIs" in shown.stdout
        assert "`ingot image verify fedora-coreos 44.20260101.3.0` checks the files" in shown.stdout
        assert [r.architecture for r in load(site.lock).releases()] == ["aarch64", "x86_64"]

    def test_twice_changes_nothing(self, site: Site) -> None:
        site.pin(stream())
        before = site.lock.read_bytes()
        assert "is as it was" in site.pin(stream()).stdout
        assert site.lock.read_bytes() == before

    def test_only_the_architectures_that_are_asked_for(self, site: Site) -> None:
        assert site.pin(stream(architectures=("s390x", "x86_64")), "--arch", "s390x").exit_code == 0
        assert [r.architecture for r in load(site.lock).releases()] == ["s390x"]

    def test_keeps_the_files_mode(self, site: Site) -> None:
        site.lock.chmod(0o640)
        site.pin(stream())
        assert site.lock.stat().st_mode & 0o777 == 0o640

    def test_talos_from_a_mirror(self, site: Site) -> None:
        for arch in ("amd64", "arm64"):
            for name in (f"kernel-{arch}", f"initramfs-{arch}.xz", f"metal-{arch}.raw.xz", f"metal-{arch}.iso"):
                site.write(f"mirror/{FACTORY}/image/{DEFAULT.id}/v1.13.9/{name}", name.encode())
        site.write(f"mirror/{FACTORY}/v2/metal-installer/{DEFAULT.id}/manifests/v1.13.9", b'{"schemaVersion": 2}')
        site.write("mirror/github.com/siderolabs/talos/releases/download/v1.13.9/cloud-images.json", b"[]")
        shown = site.ingot("pin", "talos", "v1.13.9", "--files", str(site.files))
        assert shown.exit_code == 0, shown.output
        assert load(site.lock).release("talos", "v1.13.9", "aarch64", DEFAULT.id).installer
        assert "the factory was not asked" in shown.stdout
        listed = site.ingot("list", "talos").stdout
        assert "376567988ad3" in listed
        assert "installer" in listed


class TestPinRefuses:
    """And the lock stays as it was."""

    def refused(self, site: Site, shown: Result, error: type[Exception]) -> str:
        assert isinstance(shown.exception, error), shown.output
        assert site.lock.read_bytes() == Lock().to_bytes()
        assert {p.name for p in site.root.iterdir()} <= {"images.lock.json", "mirror", "stable.json", "key.asc"}
        return str(shown.exception)

    @pytest.mark.parametrize(
        ("document", "found"),
        [
            (b"[" * 100_000, "nested too deeply"),
            (b"{" + b'"a": 1,' * 2_000_000 + b'"a": 1}', "at most 8388608 bytes, found more"),
            (b'{"architectures": {}, "architectures": {}}', "'architectures' twice"),
            (b'{"architectures": Infinity}', "Infinity is no JSON"),
            (b'{"architectures": []}', "architectures: expected an object, found list"),
            (b"", "expected JSON in UTF-8"),
        ],
    )
    def test_documents_that_are_none(self, site: Site, document: bytes, found: str) -> None:
        assert found in self.refused(site, site.pin(document), LockError)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("location", "https://evil.example/metal"),
            ("location", f"https://{BUILDS}/../../metal"),
            ("location", f"http://{BUILDS}/metal"),
            ("sha256", "0"),
            ("signature", None),
        ],
    )
    def test_one_lie_among_truths(self, site: Site, key: str, value: object) -> None:
        document = stream()
        document["architectures"]["x86_64"]["artifacts"]["metal"]["formats"]["raw.xz"]["disk"][key] = value
        assert f"disk.{key}" in self.refused(site, site.pin(document), LockError)

    def test_a_release_that_was_pinned_otherwise(self, site: Site) -> None:
        site.pin(stream())
        before = site.lock.read_bytes()
        document = stream()
        document["architectures"]["x86_64"]["artifacts"]["metal"]["formats"]["raw.xz"]["disk"]["sha256"] = "0" * 64
        shown = site.pin(document)
        assert isinstance(shown.exception, LockError)
        assert "metal sha256: expected what is pinned" in str(shown.exception)
        assert site.lock.read_bytes() == before

    def test_a_mirror_that_lacks_a_file(self, site: Site) -> None:
        shown = site.ingot("pin", "fedora-coreos", VERSION, "--files", str(site.files))
        assert "streams/stable.json: expected it at" in self.refused(site, shown, NotFetched)

    def test_a_key_that_is_not_the_publishers(self, site: Site) -> None:
        key = site.write("key.asc", bytes(Tsk.generate("somebody").extract_certificate()))
        shown = site.ingot("pin", "flatcar", "4593.2.4", "--key", key, "--files", str(site.files))
        assert "expected the key F88CFEDEFF29A5B4D9523864E25D9AED0593B34A" in self.refused(site, shown, NotVerified)

    def test_metadata_on_another_host(self, site: Site) -> None:
        shown = site.ingot("pin", "fedora-coreos", VERSION, "--metadata", "https://evil.example/stable.json")
        assert "expected https on one of the publisher's hosts" in self.refused(site, shown, NotFetched)

    def test_a_schematic_that_the_factory_would_refuse(self, site: Site) -> None:
        text = site.write("stable.json", b"customization: {kernelArgs: []}")
        shown = site.ingot("pin", "talos", "v1.13.9", "--schematic", text, "--files", str(site.files))
        assert "customization.kernelArgs" in self.refused(site, shown, LockError)

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            (("pin", "ubuntu", "24.04"), "fedora-coreos, flatcar, talos"),
            (("pin", "flatcar", "4593.2.4", "--arch", "s390x"), "x86_64, aarch64 for flatcar"),
            (("pin", "flatcar", "4593.2.4", "--schematic", __file__), "only Talos has schematics"),
            (("pin", "flatcar", "4593.2.4", "--key", "nowhere"), "does not exist"),
            (("pin", "flatcar", "4593.2.4", "--files", "nowhere"), "expected a folder"),
        ],
    )
    def test_a_wrong_call(self, site: Site, arguments: tuple[str, ...], found: str) -> None:
        shown = site.ingot(*arguments)
        assert shown.exit_code == 2
        assert found in " ".join(shown.output.replace("│", " ").split())

    def test_a_lock_that_is_broken_before_anything_is_read(self, site: Site) -> None:
        site.lock.write_text("{")
        shown = site.pin(stream())
        assert isinstance(shown.exception, LockError)
        assert site.lock.read_text() == "{"


class TestVerify:
    """Digest first, then the signature by the key that the code names."""

    def test_refuses_a_file_that_is_another(self, site: Site) -> None:
        site.pin(stream())
        key = site.write("key.asc", b"junk")
        shown = site.ingot("verify", "fedora-coreos", VERSION, "--key", key, "--files", str(site.files))
        assert isinstance(shown.exception, NotVerified)
        assert "key.asc: expected" in str(shown.exception)

    def test_refuses_a_signature_by_anybody_else(self, site: Site) -> None:
        site.pin(stream())
        secret = Tsk.generate("somebody")
        data = content("metal")
        local = site.write("metal", data)
        site.write("metal.sig", bytes(sign(secret.signer(), data, mode=SignatureMode.DETACHED)))
        key = site.write("key.asc", bytes(secret.extract_certificate()))
        shown = site.ingot(
            "verify", "fedora-coreos", VERSION, "metal", "--arch", "x86_64", "--file", local, "--key", key
        )
        assert isinstance(shown.exception, NotVerified)
        assert "expected the key 36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6" in str(shown.exception)

    def talos(self, site: Site) -> None:
        names = ("kernel-amd64", "initramfs-amd64.xz", "metal-amd64.raw.xz", "metal-amd64.iso", "metal-installer")
        sums = site.write(
            "SHA256SUMS", "".join(f"{hashlib.sha256(content(n)).hexdigest()}  {n}\n" for n in names).encode()
        )
        clouds = site.write("cloud-images.json", [])
        given = ("--metadata", sums, "--metadata", clouds, "--arch", "x86_64", "--files", str(site.files))
        shown = site.ingot("pin", "talos", "v1.13.9", *given)
        assert shown.exit_code == 0, shown.output

    def test_one_that_nobody_signs(self, site: Site) -> None:
        self.talos(site)
        local = site.write("local", content("metal-amd64.iso"))
        shown = site.ingot("verify", "talos", "v1.13.9", "iso", "--file", local, "--files", str(site.files), "--json")
        assert shown.exit_code == 0, shown.output
        (verified,) = json.loads(shown.stdout)
        assert verified["signed_by"] is None
        assert verified["sha256"] == hashlib.sha256(content("metal-amd64.iso")).hexdigest()

    def test_all_of_a_release(self, site: Site) -> None:
        self.talos(site)
        for name in ("kernel-amd64", "initramfs-amd64.xz", "metal-amd64.raw.xz", "metal-amd64.iso"):
            site.write(f"mirror/{FACTORY}/image/{DEFAULT.id}/v1.13.9/{name}", content(name))
        manifest = f"mirror/{FACTORY}/v2/metal-installer/{DEFAULT.id}/manifests/v1.13.9"
        site.write(manifest, content("metal-installer"))
        shown = site.ingot("verify", "talos", "v1.13.9", "--files", str(site.files))
        assert shown.exit_code == 0, shown.output
        assert "5 as pinned" in shown.stdout
        site.write(f"mirror/{FACTORY}/image/{DEFAULT.id}/v1.13.9/kernel-amd64", b"forged")
        shown = site.ingot("verify", "talos", "v1.13.9", "--files", str(site.files))
        assert isinstance(shown.exception, NotVerified)
        assert "pxe-kernel" in str(shown.exception)

    def test_everything_that_is_pinned(self, site: Site) -> None:
        self.talos(site)
        for name in ("kernel-amd64", "initramfs-amd64.xz", "metal-amd64.raw.xz", "metal-amd64.iso"):
            site.write(f"mirror/{FACTORY}/image/{DEFAULT.id}/v1.13.9/{name}", content(name))
        site.write(f"mirror/{FACTORY}/v2/metal-installer/{DEFAULT.id}/manifests/v1.13.9", content("metal-installer"))
        assert "5 as pinned" in site.ingot("verify", "--files", str(site.files)).stdout

    @pytest.mark.parametrize(
        "more", [("flatcar", "4593.2.4"), ("talos",), ("fedora-coreos", VERSION, "--arch", "s390x")]
    )
    def test_what_is_not_pinned(self, site: Site, more: tuple[str, ...]) -> None:
        site.pin(stream())
        shown = site.ingot("verify", *more)
        assert isinstance(shown.exception, UnknownRelease)
        assert more[-1] in str(shown.exception)

    def test_a_file_needs_one_artifact(self, site: Site) -> None:
        site.pin(stream())
        shown = site.ingot("verify", "fedora-coreos", VERSION, "--file", str(site.lock))
        assert shown.exit_code == 2


class TestList:
    """What is pinned, and what is newer."""

    def test_what_is_pinned(self, site: Site) -> None:
        site.pin(stream())
        shown = site.ingot("list").stdout
        assert VERSION in shown
        assert "DBFCF71C6D9F90A6" in shown

    def test_kubernetes_too(self) -> None:
        shown = CliRunner().invoke(app, ["image", "list", "kubernetes"]).stdout
        assert "v1.36.3" in shown
        assert "fedora-coreos" not in shown

    def test_as_json(self, site: Site) -> None:
        site.pin(stream())
        document = json.loads(site.ingot("list", "--json").stdout)
        assert [r["architecture"] for r in document["releases"]] == ["aarch64", "x86_64"]
        assert document["releases"][0]["artifacts"]["metal"]["sha256"] == hashlib.sha256(content("metal")).hexdigest()
        assert document["newer"] == []

    def test_what_is_newer(self, site: Site) -> None:
        site.pin(stream())
        later = site.write("later.json", stream("44.20260303.3.0"))
        shown = site.ingot("list", "--metadata", later)
        assert f"newer: fedora-coreos 44.20260303.3.0 (stable); newest pinned of it: {VERSION}" in shown.stdout
        same = site.write("same.json", stream())
        assert "nothing newer" in site.ingot("list", "--metadata", same).stdout


class TestDiff:
    """What a bump changes."""

    def test_two_versions(self, site: Site) -> None:
        site.pin(stream())
        site.pin(stream("44.20260303.3.0"), version="44.20260303.3.0")
        shown = site.ingot("diff", VERSION, "44.20260303.3.0", "--arch", "x86_64", "--json")
        changes = {c["what"]: c for c in json.loads(shown.stdout)}
        assert changes["metal sha256"]["before"] == hashlib.sha256(content("metal")).hexdigest()
        assert changes["metal sha256"]["kind"] == "changed"
        assert "AMI eu-central-1" not in changes
        assert "changes" in site.ingot("diff", VERSION, "44.20260303.3.0").stdout
        assert site.ingot("diff", VERSION, VERSION).stdout == "no changes\n"

    def test_two_files(self, site: Site) -> None:
        shutil.copy(site.lock, site.root / "before.json")
        site.pin(stream())
        shown = site.ingot("diff", str(site.root / "before.json"), str(site.lock), "--json")
        assert [(c["what"], c["kind"], c["after"]) for c in json.loads(shown.stdout)] == [
            ("release", "gained", "6 artifacts, 1 AMIs")
        ] * 2

    def test_a_git_revision(self, site: Site) -> None:
        def git(*arguments: str) -> None:
            who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
            subprocess.run(["git", *who, *arguments], cwd=site.root, check=True, capture_output=True, timeout=60)

        git("init", "--quiet")
        git("add", site.lock.name)
        git("commit", "--quiet", "--no-verify", "-m", "before")
        site.pin(stream())
        shown = site.ingot("diff", "HEAD", str(site.lock))
        assert "2 changes" in shown.stdout, shown.output

    @pytest.mark.parametrize("word", ["no-such-revision", "--upload-pack=x", "HEAD:../x", "44.20990101.3.0"])
    def test_what_is_nothing(self, site: Site, word: str) -> None:
        shown = CliRunner().invoke(app, ["image", "diff", "--lock", str(site.lock), "--", word, str(site.lock)])
        assert isinstance(shown.exception, LockError)
        assert "expected a pinned version, a lock file or a git revision" in str(shown.exception)

    def test_one_of_each(self, site: Site) -> None:
        site.pin(stream())
        assert site.ingot("diff", VERSION, str(site.lock)).exit_code == 2


class TestErrorsForPeople:
    """Object, expected, found, remedy; never a traceback."""

    def test_of_the_real_command(self, site: Site) -> None:
        document = site.write("stable.json", b"{")
        arguments = ("pin", "fedora-coreos", VERSION, "--metadata", document, "--lock", str(site.lock))
        found = subprocess.run(
            [sys.executable, "-m", "cli.main", "image", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.returncode == 1
        assert "stable.json is refused, 1 problem; nothing was changed:" in found.stderr
        assert "Traceback" not in found.stderr

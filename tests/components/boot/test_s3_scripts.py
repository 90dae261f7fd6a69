"""components/boot/s3_scripts.py: run here against a metadata service and an S3 that are as strict as AWS's."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from components.boot import s3_scripts, scripts
from components.boot.pin import boot_of
from components.boot_stores import S3Store
from components.images import lock
from components.stackfile import load

STACKS = Path(__file__).resolve().parents[3] / "stacks"
REGION, ROLE = "eu-central-1", "example-worker"
KEYS = {
    "AccessKeyId": "ASIAEXAMPLEEXAMPLE01",
    "SecretAccessKey": "wJalr/XUtn+FEMI=K7MDENG",
    "Token": "IQoJ+b3/JpZ2luX2Vj==",
}
IMDS_TOKEN = "AQAEAPDsUlEXAMPLE=="
CREDENTIALS = json.dumps({"init": False, "token": "abcdef.0123456789abcdef"})


def _curl_signs() -> bool:
    found = re.match(r"curl (\d+)\.(\d+)", _said_by_curl())
    return found is not None and (int(found[1]), int(found[2])) >= (7, 87)


def _said_by_curl() -> str:
    curl = shutil.which("curl")
    return subprocess.run([curl, "--version"], capture_output=True, text=True, check=False).stdout if curl else ""


needs_tools = pytest.mark.skipif(
    not _curl_signs() or shutil.which("jq") is None or shutil.which("bash") is None,
    reason="runs a machine's own program, which needs bash, jq and curl 7.87",
)

CURL = """#!/bin/bash
# curl itself, which says first what everybody sees in its arguments. S3 is not over TLS here.
printf '%s\\n' "$*" >> "$STAND/arguments"
exec "$REAL_CURL" "$@" --proto =http
"""


@dataclass
class Aws:
    """What a machine finds on AWS: the metadata service, and the objects that its role may touch."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    failing: int = 0
    role_code: str = "Success"
    role: str = "worker"

    def metadata(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """IMDSv2: nothing without a session token, and none without saying for how long."""
        if path == "/latest/api/token":
            allowed = method == "PUT" and headers.get("x-aws-ec2-metadata-token-ttl-seconds", "").isdigit()
            return (200, IMDS_TOKEN.encode()) if allowed else (400, b"")
        if headers.get("x-aws-ec2-metadata-token") != IMDS_TOKEN:
            return 401, b""
        of_role = "/latest/meta-data/iam/security-credentials/"
        if path == of_role:
            return 200, ROLE.encode()
        if path == of_role + ROLE:
            return 200, json.dumps({"Code": self.role_code, "Type": "AWS-HMAC", **KEYS}, indent=2).encode()
        return 404, b""

    def s3(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Signed by the role, and of the role's own paths."""
        if why := unsigned(method, path, headers, body):
            self.refused.append(why)
            return 403, b""
        if self.failing:
            self.failing -= 1
            return 503, b""
        if method == "PUT" and path.startswith(f"/progress/{self.role}/"):
            self.objects[path] = body
            return 200, b""
        if method == "GET" and path.startswith(f"/once/{self.role}/") and path in self.objects:
            return 200, self.objects[path]
        return 403, b""  # as S3 says of what is not there, to whom may not list


def unsigned(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Why a request is not signed as S3 wants it, "" if it is (Signature Version 4, IAM user guide)."""
    said = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, "
        r"*SignedHeaders=([^,]+), *Signature=(\w+)",
        headers.get("authorization", ""),
    )
    if said is None:
        return "no signature"
    key, day, region, names, signature = said.groups()
    if (key, region) != (KEYS["AccessKeyId"], REGION):
        return "another key or region"
    signed = names.split(";")
    if missing := {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"} - set(signed):
        return f"not signed: {missing}"
    if headers["x-amz-security-token"] != KEYS["Token"]:
        return "another session"
    digest = headers["x-amz-content-sha256"]
    if digest not in (hashlib.sha256(body).hexdigest(), "UNSIGNED-PAYLOAD"):
        return "another body"
    lines = [method, path, "", *(f"{name}:{headers[name].strip()}" for name in signed), "", names, digest]
    scope = f"{day}/{region}/s3/aws4_request"
    request = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{request}"
    made = f"AWS4{KEYS['SecretAccessKey']}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        made = hmac.new(made, part.encode(), hashlib.sha256).digest()
    return "" if hmac.compare_digest(made.hex(), signature) else "a wrong signature"


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = urlsplit(self.path).path
            if path.startswith("/latest/"):
                status, text = made.metadata(self.command, path, headers)
            else:
                status, text = made.s3(self.command, path, headers, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = answer  # the base class's names

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Machine:
    """A worker on AWS, in a folder."""

    root: Path
    aws: Aws

    def run(self, name: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        (self.root / "bin").mkdir(exist_ok=True)
        texts = {
            "curl": CURL,
            s3_scripts.PROGRAM: s3_scripts.TEXT.replace("http://169.254.169.254", self.aws.url),
            "ingot-report": s3_scripts.REPORT,
        }
        for program, text in texts.items():
            (self.root / "bin" / program).write_text(text)
            (self.root / "bin" / program).chmod(0o755)
        (self.root / "environment").write_text(
            f"INGOT_NODE='w1'\nINGOT_REGION='{REGION}'\nINGOT_ROLE='worker'\nINGOT_STORE='{self.aws.url}'\n"
        )
        (self.root / "generation").write_text("0123456789abcdef\n")
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "STAND": str(self.root),
            "REAL_CURL": str(shutil.which("curl")),
            "INGOT_ETC": str(self.root),
        }
        return subprocess.run(
            [str(self.root / "bin" / name), *arguments],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def arguments(self) -> str:
        """What everybody on the machine could read of its processes."""
        return (self.root / "arguments").read_text()


@pytest.fixture
def machine(tmp_path: Path, aws: Aws) -> Machine:
    return Machine(tmp_path, aws)


@needs_tools
class TestSigned:
    """S3 takes what the machine asks, because it is signed by its role."""

    def test_it_gets_its_credentials(self, machine: Machine, aws: Aws) -> None:
        aws.objects["/once/worker/w1"] = CREDENTIALS.encode()
        done = machine.run("ingot-s3", "get", str(machine.root / "found"))
        assert (done.returncode, aws.refused) == (0, []), done.stderr
        assert (machine.root / "found").read_text() == CREDENTIALS
        assert (machine.root / "found").stat().st_mode & 0o077 == 0

    def test_it_reports(self, machine: Machine, aws: Aws) -> None:
        done = machine.run("ingot-report", "running")
        assert (done.returncode, aws.refused) == (0, []), done.stderr
        report = json.loads(aws.objects["/progress/worker/w1"])
        assert report == {"generation": "0123456789abcdef", "state": "running"}

    def test_a_busy_moment_is_waited_out(self, machine: Machine, aws: Aws) -> None:
        aws.objects["/once/worker/w1"], aws.failing = b"{}", 1
        assert machine.run("ingot-s3", "get", str(machine.root / "found")).returncode == 0

    @pytest.mark.parametrize("verb", ["get", "put"])
    def test_no_secret_is_on_a_command_line(self, machine: Machine, aws: Aws, verb: str) -> None:
        aws.objects["/once/worker/w1"] = CREDENTIALS.encode()
        done = machine.run("ingot-s3", verb, str(machine.root / "found"), given="{}")
        assert done.returncode == 0, done.stderr
        assert machine.arguments.count("\n") == 4
        for secret in (*KEYS.values(), IMDS_TOKEN, "abcdef.0123456789abcdef"):
            assert secret not in machine.arguments
            assert secret not in done.stdout + done.stderr


@needs_tools
class TestRefused:
    """The join asks again later: nothing is written, and the exit code says so."""

    def test_what_is_not_there_yet(self, machine: Machine) -> None:
        done = machine.run("ingot-s3", "get", str(machine.root / "found"))
        assert done.returncode != 0
        assert not (machine.root / "found").exists()

    def test_what_is_another_roles(self, machine: Machine, aws: Aws) -> None:
        aws.objects["/once/worker/w1"] = CREDENTIALS.encode()
        aws.role = "control-plane"
        assert machine.run("ingot-s3", "get", str(machine.root / "found")).returncode != 0

    def test_a_machine_without_a_role(self, machine: Machine, aws: Aws) -> None:
        aws.role_code = "AssumeRoleUnauthorizedAccess"
        done = machine.run("ingot-s3", "get", str(machine.root / "found"))
        assert done.returncode != 0
        assert "no credentials for the role" in done.stderr
        assert aws.refused == []


class TestTexts:
    """What can be said of the texts as they are."""

    @pytest.mark.parametrize("text", [s3_scripts.TEXT, s3_scripts.JOIN, s3_scripts.REPORT])
    def test_are_programs_that_stop_at_the_first_failure(self, text: str) -> None:
        assert text.startswith("#!/bin/bash\n")
        assert "\nset -euo pipefail\n" in text
        if bash := shutil.which("bash"):
            assert subprocess.run([bash, "-n"], input=text, text=True, check=False).returncode == 0

    def test_the_join_differs_in_how_it_fetches_alone(self) -> None:
        assert s3_scripts.JOIN.replace(s3_scripts.FETCH, scripts.FETCH) == scripts.JOIN
        assert s3_scripts.FETCH in s3_scripts.JOIN


@pytest.fixture(scope="module")
def files() -> dict[str, dict[str, str]]:
    """By stack, every file of a worker's configuration that holds its own text."""
    pinned = lock.load(STACKS / "images.lock.json")
    found: dict[str, dict[str, str]] = {}
    for stack in ("aws", "metal"):
        node = boot_of(load(STACKS / f"Pulumi.{stack}.yaml"), pinned, "w1")
        made = json.loads(node.boot.configuration(node.own, node.generation))
        sources = {f["path"]: f.get("contents", {}).get("source", "") for f in made["storage"]["files"]}
        found[stack] = {path: text for path, source in sources.items() if (text := inlined(source)) is not None}
    return found


class TestWhoRunsThem:
    """Machines whose boot store is a bucket, and no others."""

    def test_on_aws(self, files: dict[str, dict[str, str]]) -> None:
        of = files["aws"]
        assert of["/usr/local/bin/ingot-s3"] == s3_scripts.TEXT
        assert of["/usr/local/bin/ingot-join"] == s3_scripts.JOIN
        assert of["/usr/local/bin/ingot-report"] == s3_scripts.REPORT
        environment = dict(line.split("=", 1) for line in of["/etc/ingot/environment"].splitlines())
        assert (environment["INGOT_REGION"], environment["INGOT_ROLE"]) == ("'eu-central-1'", "'worker'")
        bucket = load(STACKS / "Pulumi.aws.yaml").boot_store
        assert isinstance(bucket, S3Store)
        assert environment["INGOT_STORE"] == f"'https://{bucket.bucket}.s3.eu-central-1.amazonaws.com'"

    def test_on_metal(self, files: dict[str, dict[str, str]]) -> None:
        assert files["metal"]["/usr/local/bin/ingot-join"] == scripts.JOIN
        assert "/usr/local/bin/ingot-s3" not in files["metal"]
        assert "INGOT_REGION" not in files["metal"]["/etc/ingot/environment"]

    def test_a_bucket_in_china(self) -> None:
        store = S3Store(kind="s3", bucket="example-ingot")
        assert store.address("cn-north-1") == "https://example-ingot.s3.cn-north-1.amazonaws.com.cn"


def inlined(source: str) -> str | None:
    """The text in a data URL, None for any other."""
    if not source.startswith("data:"):
        return None
    head, _, data = source.partition(",")
    raw = base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()

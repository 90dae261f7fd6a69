"""components/boot/ignition_values.py: where contents come from, and what a unit says."""

from __future__ import annotations

import pytest

from components.boot import flatcar_installer, scripts
from components.boot.ignition import inline
from components.boot.ignition_values import LINE_BYTES_MAX, source_fault, unit_fault

SOURCES = [
    "https://x.example/y",
    "https://x.example:8443/y?a=b#c",
    "https://[fd00::1]:8443/y",
    "https://x.example",
    "http://x.example/a%20b",
    "tftp://x.example/y",
    "gs://bucket/y",
    "s3://bucket/y",
    "s3://bucket/y?versionId=1",
    "arn:aws:s3:::bucket/y",
    "arn:aws:s3:::bucket/y?versionId=1",
    "arn:aws:s3:eu-central-1:123456789012:accesspoint/a/object/y",
    "data:,",
    "data:,a%20b",
    "data:text/plain;charset=utf-8,x",
    "data:;base64,eA==",
    "data:;base64,eA%3D%3D",
]
BAD_SOURCES = [
    "",
    "x",
    "ftp://x.example/y",
    "https:",
    "https:///y",
    "https://x.example/a b",
    "https://x.example/a%2",
    "https://x.example/a%zz",
    "https://x.example:port/y",
    "https://x.example/\n",
    "https://user@x.example/y",
    "s3://bucket",
    "s3://bucket/y?versionId=",
    "arn:aws:s3:::bucket",
    "arn:aws:ec2:::bucket/y",
    "arn:aws:s3:::bucket/y?versionId=",
    "arn:aws:s3:eu-central-1:123456789012:accesspoint/a",
    "data:x",
    "data:x,y",
    "data:;base64,*",
    "data:;base64,eA=",
    "data:,%zz",
    "data:,a b",
]
UNITS = [
    "",
    "\n",
    "# a\n; b\n",
    "[Unit]\n",
    "[Unit]\nDescription=a\n\n[Service]\nExecStart=\\\n a\n",
    "  [Unit]  \n  A=b\n",
    "[X-Unit]\nA = b",
    "[Unit]\n# a\nA=b\\\n# c\\\nd",
    "[Unit]\nA=" + "b" * (LINE_BYTES_MAX - 2) + "\n",
]
BAD_UNITS = [
    "a",
    "A=b\n",
    "[Unit\nA=b\n",
    "[Unit] a\n",
    "[Unit]\nA\n",
    "[Unit]\n=b\n",
    "[Unit]\nA=b\r\n",
    "[Unit]\nA=\0\n",
    "[Unit]\nA=" + "b" * LINE_BYTES_MAX + "\n",
    "[Unit]\nA=" + "\u00e4" * 1100 + "\n",
]


class TestSources:
    """Ignition fetches what it can read, and so does nothing else."""

    @pytest.mark.parametrize("source", SOURCES)
    def test_is_one(self, source: str) -> None:
        assert source_fault(source) is None

    @pytest.mark.parametrize("source", BAD_SOURCES)
    def test_is_none(self, source: str) -> None:
        assert (source_fault(source) or "").startswith("expected ")

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)), b"\n" * 100])
    def test_what_we_put_in_is_one(self, data: bytes) -> None:
        assert source_fault(inline(data).source or "") is None


class TestUnits:
    """systemd reads settings in sections, one a line."""

    @pytest.mark.parametrize("text", UNITS)
    def test_is_one(self, text: str) -> None:
        assert unit_fault(text) is None

    @pytest.mark.parametrize("text", BAD_UNITS)
    def test_is_none(self, text: str) -> None:
        assert (unit_fault(text) or "").startswith("expected ")

    @pytest.mark.parametrize("text", [scripts.KUBELET_UNIT, scripts.UNPACK_UNIT, flatcar_installer.INSTALL_UNIT])
    def test_ours_are(self, text: str) -> None:
        assert unit_fault(text) is None

"""Who may do what, as IAM and S3 take it. Pure.

A machine may read what it boots and what is handed to its role, and report; it may list, change and delete nothing,
and sees no record. Nobody reads the bucket without TLS.
"""

from __future__ import annotations

import json
from typing import Any, Final

from components.boot import layout
from components.machines.aws_fields import partition_of

VERSION: Final = "2012-10-17"
TLS_MIN: Final = "1.2"


def trust() -> str:
    """Who may take on a machine's role: EC2, for its instances."""
    return _document(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}},
    )


def machine(region: str, bucket: str, role: str) -> str:
    """All that a machine of this role may do."""
    objects = f"{_bucket(region, bucket)}/"
    return _document(
        {
            "Sid": "ReadWhatItBoots",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{objects}{layout.BOOT}/*", f"{objects}{layout.ONCE}/{role}/*"],
        },
        {
            "Sid": "ReportHowFarItIs",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{objects}{layout.PROGRESS}/{role}/*",
        },
    )


def bucket(region: str, name: str) -> str:
    """What is refused to everybody, whatever else allows it."""
    arn = _bucket(region, name)
    refused = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return _document(
        {"Sid": "OnlyOverTls", **refused, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Sid": "OnlyOverTlsOfToday", **refused, "Condition": {"NumericLessThan": {"s3:TlsVersion": TLS_MIN}}},
    )


def _bucket(region: str, name: str) -> str:
    return f"arn:{partition_of(region)}:s3:::{name}"


def _document(*statements: dict[str, Any]) -> str:
    """Keys sorted: the same rights have one spelling, and change nothing."""
    return json.dumps({"Version": VERSION, "Statement": list(statements)}, sort_keys=True)

"""How a machine on AWS reads and writes its own objects in the boot store: beside components/boot/scripts.py.

A bucket takes signed requests only. The machine signs them with the credentials of its role, which the instance
metadata service gives to it: IMDSv2, with a session token, from the host alone (hop limit 1). The role may read
`once/<role>/` and write `progress/<role>/`, so the role is part of the path.
"""

from __future__ import annotations

from typing import Final

from components.boot import scripts
from components.environment import Environment

PROGRAM: Final = "ingot-s3"

# "user" and "header" are curl's options --user and --header, in the form of its configuration files. It signs every
# header that it was given, x-amz-security-token too, since 7.87; x-amz-content-sha256, which S3 wants, later ones add.
TEXT: Final = """\
#!/bin/bash
# Reads and writes this machine's objects of the boot store: ingot-s3 get FILE for its credentials, ingot-s3 put for its
# report, which comes on standard input. It asks with the credentials of the machine's role. They reach curl through a
# pipe: no command line and no file carries them.
set -euo pipefail
umask 077
. "${INGOT_ETC:-/etc/ingot}/environment"
options=(--config - --silent --show-error --fail --max-time 30 --retry 3 --retry-connrefused)

role() {
  printf 'header = "X-aws-ec2-metadata-token: %s"\\n' "$token" |
    curl "${options[@]}" --noproxy '*' "http://169.254.169.254/latest/meta-data/iam/security-credentials/$1"
}

signed() {
  local digest
  digest=$(printf '%s' "$1" | sha256sum)
  printf '%s\\n' "$credentials" "header = \\"x-amz-content-sha256: ${digest%% *}\\"" \\
    "aws-sigv4 = \\"aws:amz:$INGOT_REGION:s3\\""
}

token=$(printf 'header = "X-aws-ec2-metadata-token-ttl-seconds: 60"\\nrequest = "PUT"\\n' |
  curl "${options[@]}" --noproxy '*' http://169.254.169.254/latest/api/token)
credentials=$(role "$(role '')" | jq --raw-output '
  if .Code == "Success" then . else error("no credentials for the role") end |
  "user = \\"\\(.AccessKeyId):\\(.SecretAccessKey)\\"", "header = \\"x-amz-security-token: \\(.Token)\\""')

case $1 in
  get)
    signed '' |
      curl "${options[@]}" --proto '=https' --output "$2" "$INGOT_STORE/once/$INGOT_ROLE/$INGOT_NODE"
    ;;
  put)
    body=$(cat)
    signed "$body" |
      curl "${options[@]}" --proto '=https' --request PUT --header 'Content-Type: application/json' \\
        --data-raw "$body" "$INGOT_STORE/progress/$INGOT_ROLE/$INGOT_NODE"
    ;;
  *) echo "$0: expected get or put, found $1" >&2; exit 2 ;;
esac
"""
"""`ingot-s3`: part of the installed system, on AWS alone."""

FETCH: Final = 'ingot-s3 get "$run/credentials"'
JOIN: Final = scripts.joining(FETCH)
"""`ingot-join`, for a machine that signs what it asks for."""

REPORT: Final = """\
#!/bin/bash
# Tells the boot store how far this machine has come: ingot-report STATE. Carries no secret.
set -euo pipefail
. "${INGOT_ETC:=/etc/ingot}/environment"
printf '{"generation":"%s","state":"%s"}\\n' "$(cat "$INGOT_ETC/generation")" "$1" |
  ingot-s3 put
"""
"""`ingot-report`, likewise."""


def programs(environment: Environment) -> dict[str, str]:
    """By name, what a machine of this environment runs to fetch, to report and to join."""
    if not _signs(environment):
        return {"ingot-join": scripts.JOIN, "ingot-report": scripts.REPORT}
    return {"ingot-join": JOIN, "ingot-report": REPORT, PROGRAM: TEXT}


def told(environment: Environment) -> dict[str, str]:
    """What of the environment file these read besides."""
    return {"INGOT_REGION": environment.region} if _signs(environment) else {}


def _signs(environment: Environment) -> bool:
    store = environment.boot_store
    return store.kind == "s3" and store.signed

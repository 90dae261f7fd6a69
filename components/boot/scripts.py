"""What runs on a machine: three short programs and the units that start them.

The texts are the same for every machine and every release; whatever differs is read from files beside
them (/etc/ingot). So they can be read, and tested, as they are. Only where programs live differs between
systems, which is why some units are made.
"""

from __future__ import annotations

from typing import Final

ENVIRONMENT: Final = "/etc/ingot/environment"
"""INGOT_NODE, INGOT_STORE, INGOT_ENDPOINT, INGOT_ROLE."""
GENERATION: Final = "/etc/ingot/generation"
DATA_DISKS: Final = "/etc/ingot/data-disks"
MOUNTS: Final = "/etc/ingot/mounts"
"""A line a disk that the host mounts: its stable id and its filesystem."""
OS_DISK: Final = "/etc/ingot/os-disk"
KUBEADM: Final = "/etc/ingot/kubeadm"
ARCHIVES: Final = "/var/lib/ingot/archives"
PROGRAMS: Final = "/usr/local/bin"
CNI: Final = "/opt/cni/bin"

REPORT: Final = """\
#!/bin/bash
# Tells the boot store how far this machine has come: ingot-report STATE. Carries no secret.
set -euo pipefail
. /etc/ingot/environment
printf '{"generation":"%s","state":"%s"}\\n' "$(cat /etc/ingot/generation)" "$1" |
  curl --silent --show-error --fail --proto '=https' --max-time 30 --retry 3 --retry-connrefused \\
    --header 'Content-Type: application/json' --request PUT --data-binary @- "$INGOT_STORE/progress/$INGOT_NODE"
"""
"""`ingot-report`: part of the installer and of the installed system."""

FETCH: Final = """\
curl --silent --fail --proto '=https' --max-time 30 --output "$run/credentials" \\
  "$INGOT_STORE/once/$INGOT_NODE\""""
_JOIN: Final = """\
#!/bin/bash
# Brings this machine into its cluster: waits for its credentials, then runs kubeadm as they tell.
# They come over TLS and are kept in memory only (/run). No command line carries them.
set -euo pipefail
umask 077
. "${INGOT_ETC:=/etc/ingot}/environment"
etc=$INGOT_ETC
run=${INGOT_RUN:-/run/ingot}
kubernetes=${INGOT_KUBERNETES:-/etc/kubernetes}
mkdir -p "$run"

give_up() {
  # etcd was started here, so starting over could cost the cluster a member: only a new image may.
  local stuck=${INGOT_STUCK:-/var/lib/ingot/stuck}
  mkdir -p "${stuck%/*}"
  touch "$stuck"
  ingot-report failed || true
  exit 1
}

clean_up() {
  local status=$?
  rm -rf "$run"
  [ "$status" -eq 0 ] && return
  if [ -e "$kubernetes/manifests/etcd.yaml" ]; then give_up; fi
  kubeadm reset --force || true
}

# A store may take no reports; the join's own gates decide then.
ingot-report running || true
until @FETCH@; do
  sleep "${INGOT_POLL_S:-5}"
done
trap clean_up EXIT

# File name -> PEM. A control plane keeps them where kubeadm looks; a worker needs the CA to begin with.
pki=$run/pki
if [ "$INGOT_ROLE" = control-plane ]; then pki=$kubernetes/pki; fi
mkdir -p "$pki/etcd"
jq --raw-output '.pki | keys[]' "$run/credentials" | while read -r name; do
  case $name in
    *..* | /*) echo "credentials: expected file names below pki, found $name" >&2; exit 1 ;;
  esac
  jq --raw-output --arg name "$name" '.pki[$name]' "$run/credentials" > "$pki/$name"
done

if [ "$(jq .init "$run/credentials")" = true ]; then
  jq --slurpfile told "$run/credentials" \\
    'if ($told[0].token // "") == "" then . else .bootstrapTokens = [{token: $told[0].token, ttl: "1h0m0s"}] end' \\
    "$etc/kubeadm/init.json" > "$run/kubeadm.yaml"
  for part in cluster kubelet; do
    printf -- '---\\n'
    cat "$etc/kubeadm/$part.json"
    printf '\\n'
  done >> "$run/kubeadm.yaml"
  kubeadm init --config "$run/kubeadm.yaml" --skip-token-print
else
  jq --null-input --arg server "https://$INGOT_ENDPOINT" --rawfile ca "$pki/ca.crt" '{
    apiVersion: "v1", kind: "Config", "current-context": "discovery",
    clusters: [{name: "cluster", cluster: {server: $server, "certificate-authority-data": ($ca | @base64)}}],
    contexts: [{name: "discovery", context: {cluster: "cluster", user: "joiner"}}],
    users: [{name: "joiner", user: {}}]
  }' > "$run/discovery.json"
  jq --slurpfile told "$run/credentials" --arg discovery "$run/discovery.json" '
    .discovery = {file: {kubeConfigPath: $discovery}, tlsBootstrapToken: $told[0].token}
  ' "$etc/kubeadm/join.json" > "$run/kubeadm.yaml"
  kubeadm join --config "$run/kubeadm.yaml"
fi
"""


def joining(fetch: str) -> str:
    """`ingot-join`, with this way to its credentials."""
    return _JOIN.replace("@FETCH@", fetch)


JOIN: Final = joining(FETCH)
"""`ingot-join`: the installed system's way into the cluster."""

GUARD: Final = """\
#!/bin/bash
# Refuses to install if the OS disk is missing, or is a data disk under another name, or if the first boot would format
# a disk that holds something.
set -euo pipefail
os_disk=$(cat /etc/ingot/os-disk)
until target=$(readlink --canonicalize-existing "$os_disk"); do
  echo "OS disk $os_disk: expected it to be there, found nothing; waiting" >&2
  sleep 5
done
while read -r data_disk; do
  if [ "$(readlink --canonicalize "$data_disk")" = "$target" ]; then
    echo "OS disk $os_disk: expected a disk of its own, found it to be the data disk $data_disk" >&2
    exit 1
  fi
done < /etc/ingot/data-disks

# Ignition formats a disk if it knows no filesystem on it, and neither a partition table nor raw data is one.
while read -r disk filesystem; do
  until [ -e "$disk" ]; do
    echo "mounted disk $disk: expected it to be there, found nothing; waiting" >&2
    sleep 5
  done
  found=$(wipefs --noheadings --output TYPE "$disk" | sort --unique | xargs)
  if [ -z "$found" ] && [ "$(head --bytes=1M "$disk" | tr --delete '\\0' | wc --bytes)" -ne 0 ]; then
    found="data of no known kind"
  fi
  if [ -n "$found" ] && [ "$found" != "$filesystem" ]; then
    echo "mounted disk $disk: expected $filesystem or a blank disk, found $found; runbooks/boot.md#mounts" >&2
    exit 1
  fi
done < /etc/ingot/mounts
"""
"""`ingot-guard`: runs before the installer."""

UNPACK_UNIT: Final = """\
[Unit]
Description=Unpack the verified archives of this release
ConditionPathExists=!/var/lib/ingot/unpacked

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/tar --extract --gzip --no-same-owner --directory /opt/cni/bin \
--file /var/lib/ingot/archives/cni-plugins.tgz
ExecStart=/usr/bin/tar --extract --gzip --no-same-owner --directory /usr/local/bin \
--file /var/lib/ingot/archives/crictl.tar.gz
ExecStart=/usr/sbin/restorecon -R /opt/cni /usr/local/bin
ExecStart=/usr/bin/touch /var/lib/ingot/unpacked

[Install]
WantedBy=multi-user.target
"""

# The condition keeps the kubelet from crash-looping before kubeadm, which starts it, has configured it.
KUBELET_UNIT: Final = """\
[Unit]
Description=Kubernetes node agent
Wants=network-online.target
Requires=containerd.service
After=network-online.target containerd.service
ConditionPathExists=/var/lib/kubelet/config.yaml
StartLimitIntervalSec=0

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf \
--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""

# A report that does not get through never stops an installation: hence the `-`.
INSTALLER_DROPIN: Final = """\
[Unit]
Requires=ingot-guard.service
After=ingot-guard.service

[Service]
ExecStartPre=-/usr/local/bin/ingot-report installing
ExecStartPost=-/usr/local/bin/ingot-report installed
"""


def join_unit(programs: str, *, path: str, after: tuple[str, ...] = ()) -> str:
    """The unit of `ingot-join`. programs: the folder of ours. path: where it finds those that it calls.
    after: units that must have succeeded first, besides containerd's."""
    required = " ".join(("containerd.service", *after))
    return f"""\
[Unit]
Description=Bring this machine into its cluster
Wants=network-online.target
Requires={required}
After=network-online.target {required}
ConditionPathExists=!/etc/kubernetes/kubelet.conf
ConditionPathExists=!/var/lib/ingot/stuck
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PATH={path}
ExecStart={programs}/ingot-join
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
"""


def guard_unit(programs: str, *, installer: str) -> str:
    """The unit of `ingot-guard`, which reports a refusal, so that nobody waits for it. installer: the unit that must
    not start without it."""
    return f"""\
[Unit]
Description=Check that no disk loses data but the OS disk
Wants=network-online.target
After=network-online.target
Before={installer}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={programs}/ingot-guard
ExecStopPost=-/bin/bash -c '[ "$SERVICE_RESULT" = success ] || exec {programs}/ingot-report failed'

[Install]
RequiredBy={installer}
"""

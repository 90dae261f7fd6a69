"""Who publishes each OS: their hosts, and whose signature counts. Facts that must not come from the wire.

A URL in a publisher's metadata leads to one of these hosts or is refused, and so does every redirect;
the certificate of the host is verified, so that no name can be made to lead to this machine or to a
cloud's metadata service. A signature counts if it is by the key named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Publisher:
    """One OS's publisher.

    hosts: `name`, or `name:port` if it is not 443; all that is ever fetched is there. keys: fingerprint by
    major of the version, "" for all. keys_url: where the publisher has the keys themselves; whatever is
    found there is used only if it has the fingerprint.
    """

    hosts: frozenset[str]
    keys_url: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    def owns(self, url: str) -> bool:
        """Whether the URL is HTTPS on one of the publisher's hosts."""
        try:
            parts = urlsplit(url)
            where = parts.hostname if parts.port in (None, 443) else f"{parts.hostname}:{parts.port}"
        except ValueError:
            return False
        return parts.scheme == "https" and parts.username is None and where in self.hosts

    def signing_key(self, version: str) -> str | None:
        """The fingerprint of the key that signs this version; None if nobody signs, or none is known."""
        return self.keys.get(version.partition(".")[0], self.keys.get(""))


FEDORA_COREOS: Final = Publisher(
    hosts=frozenset({"builds.coreos.fedoraproject.org", "fedoraproject.org"}),
    keys_url="https://fedoraproject.org/fedora.gpg",
    # A key for each Fedora. 43 to 45 as in coreos-installer's src/signing-keys.asc (commit bee4500), all of them
    # as in rpm-software-management/distribution-gpg-keys, keys/fedora (commit 65c3eae); the two agree.
    keys={
        "41": "466CF2D8B60BC3057AA9453ED0622462E99D6AD1",
        "42": "B0F4950458F69E1150C6C5EDC8AC4916105EF944",
        "43": "C6E7F081CF80E13146676E88829B606631645531",
        "44": "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6",
        "45": "4F50A6114CD5C6976A7F1179655A4B02F577861E",
        "46": "D924B10D3E810DABDD8B56B596E7E91491211FCE",
        "47": "B2E766FA50CA6FA2D5ED06FC09D879E09488FB64",
    },
)
FLATCAR: Final = Publisher(
    hosts=frozenset(
        {
            "alpha.release.flatcar-linux.net",
            "beta.release.flatcar-linux.net",
            "stable.release.flatcar-linux.net",
            "lts.release.flatcar-linux.net",
            "www.flatcar.org",
        }
    ),
    keys_url="https://www.flatcar.org/security/image-signing-key/Flatcar_Image_Signing_Key.asc",
    # The primary key; its signing subkeys change about once a year. As in flatcar-install (flatcar/init, bin/).
    keys={"": "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"},
)
TALOS: Final = Publisher(
    # The last two are where the releases of the second have their files.
    hosts=frozenset(
        {
            "factory.talos.dev",
            "github.com",
            "objects.githubusercontent.com",
            "release-assets.githubusercontent.com",
        }
    ),
)
PUBLISHERS: Final[Mapping[str, Publisher]] = {"fedora-coreos": FEDORA_COREOS, "flatcar": FLATCAR, "talos": TALOS}

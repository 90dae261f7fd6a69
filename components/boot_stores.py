"""Where what machines boot is published and where records are kept: one model a kind of boot store.

What is where in each is components/boot/layout.py's; who may read and write it is told in docs/boot-store.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.fields import Closed, Directory, HttpsUrl, Refused, text
from components.machines.aws_fields import Region


def _bucket(name: str) -> str:
    """The rules of docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, without dots: the
    certificate of the bucket's address covers none."""
    if "://" in name or "/" in name:
        raise Refused("write the bucket's name alone, without s3:// and path")
    if "." in name:
        raise Refused("take the dots out; TLS cannot verify the address of a bucket with dots in its name")
    if name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(("-s3alias", "--ol-s3", "--x-s3")):
        raise Refused("write another name; S3 keeps ones that begin or end like this for itself")
    return name


Bucket = Annotated[
    str,
    Field(pattern="^[a-z0-9][-a-z0-9]{1,61}[a-z0-9]$"),
    text(
        "the name of a bucket such as example-ingot",
        _bucket,
        fix="write 3 to 63 small letters, digits and -, with no - at either end",
    ),
]
"""Of S3, where it is one of all the world."""


class DirectoryStore(Closed):
    """A directory behind any web server."""

    kind: Literal["directory"]
    """What it is: directory, s3 or matchbox."""
    url: HttpsUrl
    """Where machines fetch from."""
    directory: Directory
    """The same place, as the machine that runs the steps sees it."""


class S3Store(Closed):
    """A bucket of S3: for machines on AWS the stack's own, in the region of its `aws`; for others one of the site's,
    behind a gateway that signs what they ask for."""

    kind: Literal["s3"]
    """What it is: directory, s3 or matchbox."""
    bucket: Bucket
    """Its name; on AWS made by this stack, in the region of `aws`."""
    url: HttpsUrl | None = None
    """Where machines that are not on AWS fetch from: the site's gateway to the bucket."""
    region: Region | None = None
    """Where the bucket is, for machines that are not on AWS."""
    reports: bool = False
    """Whether the gateway takes PUT on progress/<node>; nobody waits for reports where it does not."""

    @property
    def signed(self) -> bool:
        """Whether machines ask S3 itself, with requests that they sign."""
        return self.url is None

    def address(self, region: str) -> str:
        """Where machines fetch from. region: of the bucket."""
        if self.url is not None:
            return self.url
        suffix = ".cn" if region.startswith("cn-") else ""
        return f"https://{self.bucket}.s3.{region}.amazonaws.com{suffix}"


class MatchboxStore(Closed):
    """An existing matchbox: profiles and groups for it, files among its assets."""

    kind: Literal["matchbox"]
    """What it is: directory, s3 or matchbox."""
    url: HttpsUrl
    """Where machines reach it."""
    directory: Directory
    """Its -data-path, as the machine that runs the steps sees it; records are kept in it too."""
    assets: Directory | None = None
    """Its -assets-path; `assets` in the directory where nothing is said."""

    @property
    def assets_directory(self) -> str:
        """Where files for machines go."""
        return self.assets or f"{self.directory}/assets"


BootStore = Annotated[DirectoryStore | S3Store | MatchboxStore, Field(discriminator="kind")]


def address(store: DirectoryStore | S3Store | MatchboxStore, region: str) -> str:
    """Where machines fetch what layout.py says a path of. region: of the stack's `aws`, "" without one."""
    if isinstance(store, S3Store):
        return store.address(region)
    return f"{store.url}/assets" if isinstance(store, MatchboxStore) else store.url

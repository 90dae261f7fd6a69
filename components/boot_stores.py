"""Where what machines boot is published and where records are kept: one model a kind of boot store.

What is where in each is components/boot/layout.py's; who may read and write it is told in docs/boot-store.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.fields import Bucket, Closed, Directory, HttpsUrl


class DirectoryStore(Closed):
    """A directory behind any web server."""

    kind: Literal["directory"]
    """What it is: directory, s3 or matchbox."""
    url: HttpsUrl
    """Where machines fetch from."""
    directory: Directory
    """The same place, as the machine that runs the steps sees it."""


class S3Store(Closed):
    """A bucket of S3, in the region of the stack's `aws`."""

    kind: Literal["s3"]
    """What it is: directory, s3 or matchbox."""
    bucket: Bucket
    """Its name; made by this stack, in the region of `aws`."""

    def address(self, region: str) -> str:
        """Where machines fetch from. region: of the bucket."""
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

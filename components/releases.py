"""Which releases a stack file may name: of the operating systems, a model each, and of Kubernetes.

One exact release always. A system is one more model in `Image`, and one module in components/boot.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.fields import Closed, exact, text

Architecture = Literal["x86_64", "aarch64"]

FedoraCoreOsVersion = Annotated[
    str,
    Field(pattern=r"^[0-9]+\.[0-9]{8}\.[123]\.[0-9]+$", max_length=64),
    text(
        "an exact Fedora CoreOS release such as 44.20260621.3.1",
        exact,
        fix="write all of MAJOR.DATE.STREAM.REVISION; the stream is 3 for stable, 2 for testing, 1 for next",
    ),
]
"""MAJOR.DATE.STREAM.REVISION, with stream 3 for stable, 2 for testing, 1 for next."""

FlatcarVersion = Annotated[
    str,
    Field(pattern=r"^[0-9]+\.[0-3]\.[0-9]+$", max_length=64),
    text(
        "an exact Flatcar release such as 4593.2.4",
        exact,
        fix="write all of MAJOR.CHANNEL.REVISION; the channel is 2 for stable, 3 for lts, 1 for beta, 0 for alpha",
    ),
]
"""MAJOR.CHANNEL.REVISION, with channel 2 for stable, 3 for lts, 1 for beta, 0 for alpha."""

TalosVersion = Annotated[
    str,
    Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$", max_length=32),
    text("an exact Talos release such as v1.13.9", exact, fix="write v and three numbers with dots between"),
]

Schematic = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{64}$"),
    text(
        "the id of an image factory's schematic",
        fix="write the 64 hexadecimal digits that the image factory gives for the schematic",
    ),
]
"""SHA-256 of the schematic's canonical YAML, which names an image factory's artifacts."""

KubernetesVersion = Annotated[
    str,
    Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$", max_length=32),
    text("an exact Kubernetes release such as v1.36.3", exact, fix="write v and three numbers with dots between"),
]


class FedoraCoreOsImage(Closed):
    """One exact release of Fedora CoreOS, as pinned in stacks/images.lock.json."""

    os: Literal["fedora-coreos"]
    """The operating system."""
    version: FedoraCoreOsVersion
    """The exact release; a bump of this line rolls the fleet."""
    architecture: Architecture = "x86_64"
    """Of the machines' processors."""


class FlatcarImage(Closed):
    """One exact release of Flatcar Container Linux, as pinned in stacks/images.lock.json."""

    os: Literal["flatcar"]
    """The operating system."""
    version: FlatcarVersion
    """The exact release; a bump of this line rolls the fleet."""
    architecture: Architecture = "x86_64"
    """Of the machines' processors."""


class TalosImage(Closed):
    """One exact release of Talos Linux with its extensions, as pinned in stacks/images.lock.json."""

    os: Literal["talos"]
    """The operating system."""
    version: TalosVersion
    """The exact release; a bump of this line rolls the fleet."""
    schematic: Schematic
    """The image factory's id of what is added to the release: extensions and kernel arguments."""
    architecture: Architecture = "x86_64"
    """Of the machines' processors."""


Image = Annotated[FedoraCoreOsImage | FlatcarImage | TalosImage, Field(discriminator="os")]
"""What a machine boots."""

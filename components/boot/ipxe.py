"""The iPXE script that starts an installer: it never goes on to what is on the machine's disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.boot import layout
from components.boot.contract import BootConfigurationError, Publication
from components.images.artifacts import INITRAMFS, KERNEL
from components.images.lock import Release

INITRD: Final = "main"
"""What the live system's kernel is told that its initramfs is called: `initrd=main`."""
RETRY_S: Final = 10
"""Between attempts to fetch. The machine never goes on to what is on its disk; the step's limit ends it."""


def publication(
    node: str,
    generation: str,
    release: Release,
    store: str,
    arguments: tuple[str, ...],
    beside: Mapping[str, bytes],
    *,
    keeps: tuple[str, ...],
    title: str = "",
) -> Publication:
    """What is published for a node: the script that starts the release's installer, and the files that it needs.

    store: the boot store's URL. arguments: of the installer's kernel. keeps: names of the artifacts that the boot
    store keeps, kernel and initramfs among them. title: where it installs nothing. Raises BootConfigurationError as
    `require_plain` does.
    """
    require_plain(node, arguments)
    text = script(
        title or f"Installs {release} on {node}.",
        kernel=kept_url(store, release, KERNEL),
        initramfs=kept_url(store, release, INITRAMFS),
        arguments=arguments,
    )
    return Publication(
        node=node,
        generation=generation,
        boot_url=layout.boot_url(store, generation, node),
        kernel_arguments=arguments,
        files={layout.script(generation, node): text, **beside},
        release=release,
        keeps=keeps,
    )


def kept_url(store: str, release: Release, name: str) -> str:
    """Where a machine fetches one of the release's artifacts. store: the boot store's URL. Raises UnknownRelease."""
    return f"{store}/{layout.kept(release.artifact(name))}"


def require_plain(node: str, arguments: tuple[str, ...]) -> None:
    """Return if no argument would mean more than itself on a kernel command line, or to iPXE.
    Raises BootConfigurationError."""
    if odd := [a for a in arguments if not layout.PLAIN.fullmatch(a)]:
        problem = f"expected kernel arguments without spaces, quotes, backslashes and $, found {odd}"
        raise BootConfigurationError(node, (problem,))


def script(title: str, *, kernel: str, initramfs: str, arguments: tuple[str, ...]) -> bytes:
    """The script. title: a line for whoever watches. kernel, initramfs: URLs of the boot store."""
    lines = (
        "#!ipxe",
        f"# {title}",
        ":start",
        f"kernel {kernel} {' '.join(arguments)} || goto again",
        f"initrd --name {INITRD} {initramfs} || goto again",
        "boot || goto again",
        ":again",
        f"echo Could not start the installer; trying again in {RETRY_S} s",
        "imgfree",
        f"sleep {RETRY_S}",
        "goto start",
        "",
    )
    return "\n".join(lines).encode("ascii")

"""Our names of a release's files, the same for every OS that has such a file; the lock's keys."""

from __future__ import annotations

from typing import Final

KERNEL: Final = "pxe-kernel"
INITRAMFS: Final = "pxe-initramfs"
ROOTFS: Final = "pxe-rootfs"
"""Fedora CoreOS alone: what its live kernel fetches."""
METAL: Final = "metal"
"""The disk image that an installation writes."""
METAL_4K: Final = "metal-4k"
ISO: Final = "iso"

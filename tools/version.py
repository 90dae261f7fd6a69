"""A release, as tools print it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Version(NamedTuple):
    """A release, compared by its three numbers; a suffix such as `-dev.0` is not compared."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version that `pulumi version` or `go version` printed, or None if it is none."""
        found = re.fullmatch(r"(?:v|go)?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+ ].*)?", text.strip())
        return cls(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

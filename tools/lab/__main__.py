"""`python -m tools.lab`: for make and shells. People have `ingot lab`."""

from __future__ import annotations

import argparse
import sys

from tools.cache import LockTimeout
from tools.lab.obtain import PartUnobtainable, ensure, look


def main() -> int:
    """0 when every part is there, 1 when one is not (and could not be built, with --ensure)."""
    parser = argparse.ArgumentParser(prog="python -m tools.lab", description="The lab's real parts, from Go modules.")
    parser.add_argument("--ensure", action="store_true", help="build what is not there; about 7 minutes for all")
    chosen = parser.parse_args()
    try:
        if chosen.ensure:
            ensure()
        found = look()
    except (PartUnobtainable, LockTimeout) as error:
        print(error, file=sys.stderr)
        return 1
    for name, kept in found.items():
        print(f"{name} {kept.part.version}: {kept.trouble or kept.path}", file=sys.stderr)
    return 0 if all(kept.present for kept in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

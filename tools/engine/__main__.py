"""`python -m tools.engine`: for make and shells. People have `ingot engine`."""

from __future__ import annotations

import argparse
import sys

from tools.cache import LockTimeout
from tools.engine.choice import NoEngine
from tools.engine.obtain import ensure, look


def main() -> int:
    """0 when the engine is there, 1 when it is not (and could not be got, with --ensure)."""
    parser = argparse.ArgumentParser(prog="python -m tools.engine", description="The Pulumi engine of this project.")
    parser.add_argument("--ensure", action="store_true", help="get the engine if it is not there")
    parser.add_argument("--path", action="store_true", help="print the path of its binary, and nothing else, on stdout")
    chosen = parser.parse_args()
    try:
        engine = ensure() if chosen.ensure else look()
    except (NoEngine, LockTimeout) as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.path:
        print(engine.path)
    else:
        print(f"Pulumi engine {engine.version}: {engine.why}", file=sys.stderr)
    return 0 if engine.present else 1


if __name__ == "__main__":
    sys.exit(main())

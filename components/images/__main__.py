"""`python -m components.images STREAM.json...`: add the releases of stream metadata files to the lock.

Fetch the metadata from the publisher yourself, and verify it, before you pin what it says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.images import fedora_coreos
from components.images.lock import BYTES_MAX, LOCK_FILE, LockError, load


def main(arguments: list[str], lock_file: Path) -> int:
    """Exit code: 0 pinned, 1 refused (nothing was written), 2 used wrongly."""
    if not arguments or any(a.startswith("-") for a in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        lock = load(lock_file)
        for name in arguments:
            with Path(name).open("rb") as file:
                lock = fedora_coreos.pin(lock, file.read(BYTES_MAX + 1), name)
    except (LockError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    lock_file.write_bytes(lock.to_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).parents[2] / LOCK_FILE))

"""What there is on this machine: the real answers to `choice.Probes`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.engine import kept
from tools.engine.choice import Found

VERSION_LIMIT_S = 60.0
"""`pulumi version` answers in well under a second; a loaded machine that pages 115 MB in is still in time."""


class Machine:
    """This machine, as seen by this process's PATH and the cache folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def on_path(self) -> Found | None:
        found = shutil.which("pulumi")
        if found is None:
            return None
        path = Path(found).absolute()
        reports, trouble = ask_version(path)
        return Found(path, reports, trouble)

    def cached(self) -> Found | None:
        return kept.examine(kept.home(self._cache))

    def destination(self) -> Path:
        return kept.home(self._cache) / "bin" / "pulumi"

    def language_host_beside(self, engine: Path) -> bool:
        name = "pulumi-language-python"
        return shutil.which(name) is not None or (engine.parent / name).exists()


def ask_version(engine: Path) -> tuple[str, str]:
    """(what `pulumi version` prints, why it did not run or "")."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        asked = subprocess.run(
            [str(engine), "version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"`pulumi version` did not end within {VERSION_LIMIT_S:.0f} s"
    except OSError as error:
        return "", f"it does not start ({error.strerror or error})"
    if asked.returncode != 0:
        return "", f"`pulumi version` exited {asked.returncode}: {asked.stderr.strip()[-200:]}"
    return asked.stdout.strip(), ""

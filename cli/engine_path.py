"""The engine that the rehearsal's verbs use."""

from __future__ import annotations

from pathlib import Path


def use_decided_engine() -> Path:
    """Get the engine if need be, put it on this process's PATH, and return its binary.

    Raises tools.engine.NoEngine with what to do.
    """
    from rehearsal.session import use_engine
    from tools.engine import ensure

    engine = ensure()
    use_engine(engine.path)
    return engine.path

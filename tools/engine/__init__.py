"""The Pulumi engine comes by itself: on PATH, from the cache, from its installer, or built from its Go module.

`choice.decide` decides and does nothing else; `obtain.ensure` does what it says. Nobody else looks
for a `pulumi` binary, so that every part of the project uses the same one.
"""

from tools.engine.choice import MINIMUM, PINNED, Engine, NoEngine, Option, Probes, Source, decide
from tools.engine.obtain import ensure, look
from tools.version import Version

__all__ = [
    "MINIMUM",
    "PINNED",
    "Engine",
    "NoEngine",
    "Option",
    "Probes",
    "Source",
    "Version",
    "decide",
    "ensure",
    "look",
]

"""The lab's real parts, built from their Go modules: etcd, Kubernetes' control plane, kubectl, KWOK.

`ensure` is the one function that decides what is there and builds what is missing.
"""

from tools.lab.obtain import Kept, PartUnobtainable, ensure, look
from tools.lab.parts import ETCD, KUBERNETES, KWOK, PARTS, Part

__all__ = ["ETCD", "KUBERNETES", "KWOK", "PARTS", "Kept", "Part", "PartUnobtainable", "ensure", "look"]

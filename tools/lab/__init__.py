"""The lab's real parts, built from their Go modules: etcd, Kubernetes' control plane, kubectl, KWOK, and the
program that makes and validates Talos' machine configurations.

`ensure` is the one function that decides what is there and builds what is missing.
"""

from tools.lab.obtain import Kept, PartUnobtainable, ensure, look
from tools.lab.parts import ETCD, KUBERNETES, KWOK, PARTS, TALOS_CONFIG, Part

__all__ = ["ETCD", "KUBERNETES", "KWOK", "PARTS", "TALOS_CONFIG", "Kept", "Part", "PartUnobtainable", "ensure", "look"]

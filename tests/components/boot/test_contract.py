"""components/boot/contract.py: what a pool's nodes are to be, and all that does not fit together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from components.boot.contract import Asked, BootConfigurationError, ask
from components.boot.pin import pins
from components.environment import Environment
from components.images.lock import KubernetesRelease, Lock, Release
from components.machines.contract import Platform

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"


def leaves(document: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a document with the keys that lead to it."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*at, key))
    elif isinstance(document, list):
        for i, value in enumerate(document):
            yield from leaves(value, (*at, str(i)))
    elif isinstance(document, str):
        yield at, document


def replaced(document: Any, at: tuple[str, ...], value: str) -> Any:
    """A copy of the document with another text in one place."""
    if not at:
        return value
    if isinstance(document, list):
        return [replaced(v, at[1:], value) if str(i) == at[0] else v for i, v in enumerate(document)]
    return {k: replaced(v, at[1:], value) if k == at[0] else v for k, v in document.items()}


class TestRefuses:
    """What does not fit together, all of it at once."""

    def test_all_that_was_looked_up_wrongly(self, environment: Environments, lock: Locks) -> None:
        release = lock().release("fedora-coreos", "44.20260202.3.0", "x86_64")
        made = environment({"pools/hci/machines/hosts/w1/data_disks": ["/dev/disk/by-id/nvme-OS_w1"]})
        with pytest.raises(BootConfigurationError) as refused:
            ask(made, "hci", release, lock().kubernetes_release("v1.36.4", "aarch64"))
        assert len(refused.value.problems) == 4
        for found in ("image of its pool", "Kubernetes v1.36.3", "Kubernetes for x86_64", "among its data disks"):
            assert any(found in p for p in refused.value.problems), found

    @pytest.mark.parametrize("end", ["a'b", "$(x)", "a\\b"])
    def test_a_boot_store_that_means_more_than_itself(self, end: str, environment: Environments, lock: Locks) -> None:
        url = f"https://boot.example/{end}"
        with pytest.raises(BootConfigurationError, match=r"boot_store\.url"):
            pins(environment({"boot_store/url": url}), lock())


class TestHoldsNoSecret:
    """Nothing that a boot configuration is made of can carry one. test_systems.py looks for them in what is made."""

    def test_no_input_is_of_a_type_that_carries_one(self) -> None:
        assert get_type_hints(Asked) == {
            "environment": Environment,
            "role": str,
            "stores": bool,
            "release": Release,
            "kubernetes": KubernetesRelease,
            "platform": Platform,
        }

    def test_no_text_of_the_stack_file_can_bring_one_in(self, document: dict[str, Any], lock: Locks) -> None:
        tried = 0
        for at, _ in leaves(document):
            tried += 1
            with pytest.raises(ValidationError):
                Environment.model_validate(replaced(document, at, PEM))
        assert tried > 40

    def test_no_text_of_the_lock_can_bring_one_in(self, lock: Locks) -> None:
        pinned = json.loads(lock().to_bytes())
        for at, _ in list(leaves(pinned))[:60]:
            with pytest.raises(ValidationError):
                Lock.model_validate(replaced(pinned, at, PEM))

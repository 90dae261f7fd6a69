"""What an instance boots that is launched from the pinned image itself, for every system that Ignition configures.

There is no installer: its first boot reads the installed system's configuration from the user data, so what a
machine in a rack gets in two steps comes in one. The image is the AMI of the stack's region, which the digest covers;
another region's replaces nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.boot.contract import Asked, Publication
from components.boot.ignition_node import Installed
from components.boot.user_data import user_data
from components.boot_stores import S3Store
from components.machines.contract import Own


@dataclass(frozen=True)
class LaunchedPool:
    """Fulfils components.boot.contract.PoolBoot."""

    installed: Installed
    artifacts: tuple[str, ...] = ()

    @property
    def asked(self) -> Asked:
        return self.installed.asked

    @property
    def machine_image(self) -> str:
        return self.asked.release.amis[self.asked.environment.region]

    def publication(self, own: Own, generation: str) -> Publication:
        environment = self.asked.environment
        store = environment.boot_store
        if not isinstance(store, S3Store):
            raise ValueError("expected a bucket to boot from, found another boot store: validate the stack file first")
        made = user_data(self.configuration(own, generation), bucket=store.bucket, region=environment.region)
        return Publication(own.name, generation, "", (), made.stored, self.asked.release, user_data=made.data)

    def configuration(self, own: Own, generation: str) -> bytes:
        return self.installed.with_generation(own, generation).to_bytes()

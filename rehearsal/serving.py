"""The providers that serve one rack to the engine, a gRPC server each; and the AWS account behind one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from components.boot.user_data import UserData
from components.boot_stores import S3Store
from components.environment import Environment
from lifecycle.ports import Pin
from rehearsal.providers.base import Provider
from rehearsal.rack import instances
from rehearsal.rack.on_aws import OnAws
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store

Launches = Callable[[Pin, str], UserData]
"""(pin, zone) -> what an instance of the pin's host starts with there."""
MESSAGE_MAX = 256 << 20
"""Bytes. A state of a thousand nodes is tens of MiB."""


@contextmanager
def account_of(
    rack: Rack, store: Store, environment: Environment, stack: str, launches: Launches, *, lasting: bool
) -> Iterator[None]:
    """Give the rack its AWS account while the context lasts, if the stack has machines there, or had.

    launches: what an instance starts with. lasting: what is done to it is kept. Raises AccountInUse, CallsUnreadable.
    """
    if environment.aws is None and not store.account.exists():
        yield
        return
    from rehearsal.aws.account import open_account  # it imports moto, which nobody else waits for

    with open_account(store.account, seed=rack.world.seed, now_s=lambda: rack.now_s, lasting=lasting) as opened:
        rack.aws = OnAws(opened, stack, _bucket(environment), launches)
        opened.strikes = lambda call: instances.strikes(rack, call)
        with rack.clock.lock:
            instances.publish_images(rack)
            instances.mirror_all(rack)
        yield


def _bucket(environment: Environment) -> tuple[str, str] | None:
    store = environment.boot_store
    return (store.bucket, environment.region) if isinstance(store, S3Store) and store.signed else None


@contextmanager
def serving(providers: dict[str, tuple[Provider, int]]) -> Iterator[dict[str, int]]:
    """Serve each package's provider with that many threads; the port of each."""
    servers: list[grpc.Server] = []
    ports: dict[str, int] = {}
    try:
        for package, (provider, threads) in providers.items():
            server = grpc.server(
                futures.ThreadPoolExecutor(threads, thread_name_prefix=f"rack-{package}"),
                options=[
                    ("grpc.max_receive_message_length", MESSAGE_MAX),
                    ("grpc.max_send_message_length", MESSAGE_MAX),
                ],
            )
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
            ports[package] = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
        yield ports
    finally:
        for server in servers:
            server.stop(grace=None)

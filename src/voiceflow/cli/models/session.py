"""What all commands share: options, and the call to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from voiceflow.cli.options import Target, target_option
from voiceflow.client.registry import DEFAULT_REGISTRY, RegistryClient

_Value = TypeVar("_Value")

registry_option = target_option("registry", DEFAULT_REGISTRY, "The registry")
validate_only_option = click.option(
    "--validate-only", is_flag=True, help="Check everything, and change nothing."
)
request_id_option = click.option(
    "--request-id",
    metavar="UUID",
    help="The same id again gets the first answer; one is made otherwise.",
)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


def registry_client(registry: Target) -> RegistryClient:
    """A client of the registry.

    Raises:
        InvalidInput: INSECURE_ADDRESS.
    """
    registry.check()
    return RegistryClient(registry.address, identity=registry.identity)


def call(registry: Target, act: Callable[[RegistryClient], Awaitable[_Value]]) -> _Value:
    """Runs one act with a client of the registry."""

    async def run() -> _Value:
        async with registry_client(registry) as client:
            return await act(client)

    return asyncio.run(run())

"""What all commands share: options, the call to the registry, JSON, times."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel
from rich.console import Console

from voiceflow.cli.options import Target, target_option
from voiceflow.client.registry import DEFAULT_REGISTRY, RegistryClient

_Value = TypeVar("_Value")

registry_option = target_option("registry", DEFAULT_REGISTRY, "The registry")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to standard output."
)
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print a line of JSON for everything that happens."
)
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


def out() -> Console:
    """For results: standard output, without cutting words where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def err() -> Console:
    """For progress and remarks."""
    return Console(stderr=True)


def as_data(value: BaseModel) -> Any:
    """A value as what JSON can hold."""
    return value.model_dump(mode="json")


def print_json(data: Any) -> None:
    """One document."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_json_line(data: Any) -> None:
    """One line."""
    click.echo(json.dumps(data, ensure_ascii=False))


def as_moment(value: Any) -> datetime:
    """Reads a time: ISO 8601, in this machine's zone if it names none; or `30d`, `12h` from now on.

    Raises:
        click.BadParameter: It is neither.
    """
    return _moment(str(value), direction=1)


def as_past_moment(value: Any) -> datetime:
    """As `as_moment`, but `30d` and `12h` are so long ago."""
    return _moment(str(value), direction=-1)


def _moment(text: str, *, direction: int) -> datetime:
    if span := re.fullmatch(r"([0-9]{1,4})([dh])", text):
        amount = direction * int(span[1])
        distance = timedelta(days=amount) if span[2] == "d" else timedelta(hours=amount)
        return datetime.now(UTC) + distance
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        raise click.BadParameter(
            f"{text!r} is no time such as 2026-05-01T12:00:00Z or 30d"
        ) from None

"""`voiceflow models policy`, `pods`, `collect-garbage`: for whoever runs the registry."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.pods import Collection, Pod
from voiceflow.catalog.queries import PodFilter
from voiceflow.catalog.values import LONGEST_SECONDS
from voiceflow.cli.models.names import CHANNEL
from voiceflow.cli.models.session import (
    FILE,
    call,
    registry_option,
    request_id_option,
    validate_only_option,
)
from voiceflow.cli.models.tables import megabytes, pods_table, table
from voiceflow.cli.options import Number, Target
from voiceflow.cli.printing import as_data, json_option, out, print_json
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import InvalidInput

_OUTPUT_ONLY = ("name", "sequence", "etag", "principal", "update_time")


@click.command()
@click.argument("channel", type=CHANNEL)
@click.option(
    "--set",
    "changes",
    type=FILE,
    help="Fields to set, in TOML, JSON or YAML; the others stay as they are.",
)
@validate_only_option
@request_id_option
@registry_option
@json_option
def policy(
    channel: ChannelName,
    changes: Path | None,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Show who may promote to CHANNEL and what is demanded; with --set, change it."""

    async def act(client: RegistryClient) -> ChannelPolicy:
        present = await client.policy(channel)
        if changes is None:
            return present
        wanted, mask = _changed(present, changes)
        return await client.update_policy(
            wanted,
            update_mask=mask,
            etag=present.etag,
            request_id=request_id,
            validate_only=validate_only,
        )

    found = call(registry, act)
    if as_json:
        print_json({"policy": as_data(found)})
        return
    shown = table("Field", "Value")
    for field, value in as_data(found).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            text = ", ".join(f"{key} {one}" for key, one in value.items() if one is not None)
        shown.add_row(field, "" if text is None else str(text))
    out().print(shown)


@click.command()
@click.option("--channel", type=CHANNEL, help="Only those that follow it.")
@click.option("--all", "include_lost", is_flag=True, help="Also those that report no more.")
@registry_option
@json_option
def pods(channel: ChannelName | None, include_lost: bool, registry: Target, as_json: bool) -> None:
    """List the servers that have reported, with what they should and do serve."""
    where = PodFilter(channel=str(channel or ""), include_lost=include_lost)

    async def act(client: RegistryClient) -> list[Pod]:
        return [pod async for pod in client.list_pods(where)]

    found = call(registry, act)
    if as_json:
        print_json({"pods": [as_data(pod) for pod in found]})
    else:
        out().print(pods_table(found) if found else "no pods")


@click.command("collect-garbage")
@click.option(
    "--grace-hours",
    type=Number(0.0, LONGEST_SECONDS / 3600.0),
    help="Spare what is younger; longer than the registry's own grace period, or without effect.",
)
@validate_only_option
@registry_option
@json_option
def collect_garbage(
    grace_hours: float | None, validate_only: bool, registry: Target, as_json: bool
) -> None:
    """Remove what nothing refers to and is old enough; versions and histories never are."""

    async def act(client: RegistryClient) -> list[Collection]:
        collections: list[Collection] = []
        while not collections or (collections[-1].more and not validate_only):
            collections.append(
                await client.collect_garbage(
                    validate_only=validate_only,
                    grace_seconds=None if grace_hours is None else grace_hours * 3600.0,
                )
            )
        return collections

    collections = call(registry, act)
    objects = [one for collection in collections for one in collection.objects]
    collected_bytes = sum(collection.collected_bytes for collection in collections)
    if as_json:
        print_json(
            {
                "objects": [as_data(one) for one in objects],
                "collected_bytes": collected_bytes,
                "more": collections[-1].more,
            }
        )
        return
    word = "to be removed" if validate_only else "removed"
    out().print(f"{len(objects)} objects, {megabytes(collected_bytes)} {word}", highlight=False)
    if validate_only:
        for one in objects:
            out().print(f"  {one.key}", highlight=False, soft_wrap=True)


def policy_fields(path: Path, name: str | None = None) -> dict[str, object]:
    """The fields of a policy that a file states, as `--json` prints it or alone.

    Args:
        path: The file.
        name: Of the policy that it must be, if it says which; None: any.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    from voiceflow.packing import read_values  # noqa: PLC0415 - loads ONNX Runtime

    stated = read_values(path)
    if isinstance(stated, dict) and set(stated) == {"policy"}:
        stated = stated["policy"]
    if not isinstance(stated, dict):
        raise _invalid(f"{path}: is no table of fields")
    known = [field for field in ChannelPolicy.model_fields if field not in _OUTPUT_ONLY]
    unknown = sorted(set(stated) - set(ChannelPolicy.model_fields))
    if unknown:
        raise _invalid(f"{path}: states {', '.join(unknown)}; allowed are {', '.join(known)}")
    fields = {field: stated[field] for field in known if field in stated}
    if not fields:
        raise _invalid(f"{path}: states nothing; allowed are {', '.join(known)}")
    if name is not None and stated.get("name", name) != name:
        raise _invalid(
            f"{path}: name is {stated['name']!r:.200}; allowed is {name}, or no name: take it"
            " out to set another channel's policy here"
        )
    return fields


def policy_of(name: ChannelName | str, fields: dict[str, object], path: Path) -> ChannelPolicy:
    """A policy of these fields.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    try:
        return ChannelPolicy.model_validate({"name": str(name)} | fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _invalid(
            f"{path}: {field}: {first['msg']} (stated: {first['input']!r:.100})"
        ) from error


def _changed(present: ChannelPolicy, path: Path) -> tuple[ChannelPolicy, list[str]]:
    fields = policy_fields(path, present.name)
    wanted = policy_of(present.name, as_data(present) | fields, path)
    return wanted, [_MASKS.get(field, field) for field in fields]


_MASKS = {"validation_valid_for_seconds": "validation_valid_for"}
"""Paths of the wire where they are named otherwise."""


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, reason="FIELD_INVALID", field="policy")

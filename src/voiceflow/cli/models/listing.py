"""`voiceflow models list`, `show`, `diff`."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from voiceflow.artifact import Manifest
from voiceflow.catalog.channels import Channel
from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.values import iso
from voiceflow.catalog.versions import Difference, Model, Version, VersionState
from voiceflow.cli.models.names import ANY, MODEL, VERSION, short
from voiceflow.cli.models.session import call, registry_option
from voiceflow.cli.models.tables import (
    bump_text,
    channels_table,
    difference_table,
    megabytes,
    models_table,
    moment,
    versions_table,
)
from voiceflow.cli.options import Target
from voiceflow.cli.printing import as_data, json_option, out, print_json
from voiceflow.client.registry import RegistryClient


def version_data(version: Version) -> Any:
    """A version for JSON, with its manifest as fields."""
    data = as_data(version)
    del data["manifest"]
    if version.manifest is not None:
        data["manifest"] = Manifest.from_json(version.manifest).model_dump(mode="json")
    return data


@click.command("list")
@click.argument("model", type=MODEL, required=False)
@click.option("--range", "semver_range", default="", metavar="RANGE", help=">=1.2.0,<2.0.0")
@click.option("--all", "every_state", is_flag=True, help="Also deleted versions.")
@registry_option
@json_option
def list_(
    model: ModelName | None, semver_range: str, every_state: bool, registry: Target, as_json: bool
) -> None:
    """List models; of MODEL, its versions and channels."""
    where = VersionFilter(
        states=tuple(VersionState) if every_state else (), semver_range=semver_range
    )

    async def all_models(client: RegistryClient) -> list[Model]:
        return [one async for one in client.list_models()]

    async def of_model(client: RegistryClient) -> tuple[list[Version], list[Channel]]:
        name = str(model)
        await client.get_model(name)  # says so if there is none
        versions = [one async for one in client.list_versions(name, where=where)]
        return versions, [one async for one in client.list_channels(name)]

    if model is None:
        models = call(registry, all_models)
        if as_json:
            print_json({"models": [as_data(one) for one in models]})
        else:
            out().print(models_table(models) if models else "no models yet")
        return
    versions, channels = call(registry, of_model)
    if as_json:
        print_json(
            {
                "versions": [version_data(one) for one in versions],
                "channels": [as_data(one) for one in channels],
            }
        )
        return
    out().print(versions_table(versions))
    if channels:
        out().print()
        out().print(channels_table(channels))


@click.command()
@click.argument("name", type=ANY)
@registry_option
@json_option
def show(name: ModelName | VersionName | ChannelName, registry: Target, as_json: bool) -> None:
    """Show a version (diarizer@1.2.0), a channel (diarizer/stable) or a model (diarizer)."""
    match name:
        case VersionName():
            _show_version(name, registry, as_json=as_json)
        case ChannelName():
            _show_channel(name, registry, as_json=as_json)
        case ModelName():
            _show_model(name, registry, as_json=as_json)


@click.command()
@click.argument("target", type=VERSION)
@click.argument("base", type=VERSION, required=False)
@registry_option
@json_option
def diff(target: VersionName, base: VersionName | None, registry: Target, as_json: bool) -> None:
    """Tell what differs between TARGET and BASE, or the newest version before TARGET.

    And which bump of the version number that demands.
    """

    async def act(client: RegistryClient) -> Difference:
        return await client.diff(target, base)

    difference = call(registry, act)
    if as_json:
        data = as_data(difference)
        for where in (data, *data["changes"]):
            for field in {"bump", "required_bump", "actual_bump"} & set(where):
                where[field] = _BUMPS[where[field]]
        print_json(data)
        return
    title = f"{short(difference.base)} → {short(difference.target)}"
    enough = "enough" if difference.sufficient else "not enough"
    out().print(
        f"{title}: demands {bump_text(difference.required_bump)},"
        f" is {bump_text(difference.actual_bump)}, {enough}",
        highlight=False,
    )
    if difference.changes:
        out().print(difference_table(difference))


_BUMPS = {1: "patch", 2: "minor", 3: "major"}


def _show_version(name: VersionName, registry: Target, *, as_json: bool) -> None:
    async def act(client: RegistryClient) -> tuple[Version, list[Channel]]:
        version = await client.get_version(name)
        channels = client.list_channels(name.parent, version=name)
        return version, [one async for one in channels]

    version, channels = call(registry, act)
    if as_json:
        print_json(
            {"version": version_data(version), "channels": [as_data(one) for one in channels]}
        )
        return
    manifest = Manifest.from_json(version.manifest or b"")
    facts = _facts()
    facts.add_row("version", short(version.name))
    facts.add_row("state", version.state.value)
    if version.yank is not None:
        facts.add_row("yanked", f"{iso(version.yank.yank_time)}: {version.yank.reason}")
    facts.add_row("published", f"{moment(version.publish_time)} by {version.publisher}")
    facts.add_row("gates passed", " ".join(version.passed_gates))
    facts.add_row("channels", ", ".join(short(one.name) for one in channels))
    facts.add_row("manifest", version.manifest_digest)
    for field, value in manifest:
        if field not in {"schema_version", "model", "version", "files", "sizes", "measured"}:
            facts.add_row(field.replace("_", " "), _text(value))
    for one in manifest.measured:
        facts.add_row(f"DER on {one.data_set}", f"{one.der_percent:.1f} % ({one.protocol})")
    for file in version.files:
        facts.add_row(file.file, f"{megabytes(file.size_bytes)} {file.digest}")
    out().print(facts)


def _show_channel(name: ChannelName, registry: Target, *, as_json: bool) -> None:
    async def act(client: RegistryClient) -> Channel:
        return await client.get_channel(name)

    channel = call(registry, act)
    if as_json:
        print_json({"channel": as_data(channel)})
        return
    facts = _facts()
    facts.add_row("channel", short(channel.name))
    facts.add_row("serves", channel.rollout.in_short)
    facts.add_row("sequence", str(channel.sequence))
    facts.add_row("since", moment(channel.update_time))
    facts.add_row("etag", channel.etag)
    out().print(facts)


def _show_model(name: ModelName, registry: Target, *, as_json: bool) -> None:
    async def act(client: RegistryClient) -> Model:
        return await client.get_model(name)

    model = call(registry, act)
    if as_json:
        print_json({"model": as_data(model)})
    else:
        out().print(models_table([model]))


def _facts() -> Table:
    facts = Table.grid(padding=(0, 3))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    return facts


def _text(value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)

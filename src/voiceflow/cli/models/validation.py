"""`voiceflow models validate`: runs a version through the gates, in the registry or here."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import click

from voiceflow.catalog.gates import Gate, GateResult, ValidationReport
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.cli.models.gates import GatesView
from voiceflow.cli.models.names import channel_name, version_name
from voiceflow.cli.models.session import FILE, FOLDER, registry_client, registry_option
from voiceflow.cli.options import Target
from voiceflow.cli.printing import as_data, err, json_lines_option, out, print_json_line
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import InvalidInput

_GATES = ",".join(Gate)


def _gates(value: object) -> tuple[Gate, ...]:
    """Reads gates joined by commas, in their order."""
    if isinstance(value, tuple):
        return value
    words = [word.strip() for word in str(value).split(",")]
    unknown = [word for word in words if word not in set(Gate)]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no gate; gates are {_GATES}")
    return tuple(gate for gate in Gate if gate in words)


@click.command()
@click.argument("version", required=False)
@click.option(
    "--local",
    "folder",
    type=FOLDER,
    help="Run the package in this folder here, without a registry.",
)
@click.option("--gates", type=_gates, metavar="GATES", default=(), help=f"Some of {_GATES}. [all]")
@click.option(
    "--channel", help="Whose policy holds, and whose version it is compared with: stable."
)
@click.option(
    "--baseline", type=FOLDER, help="With --local: package that cost and accuracy compare with."
)
@click.option(
    "--earlier",
    type=FOLDER,
    multiple=True,
    help="With --local: package of an earlier version, for the bump; may be given again.",
)
@click.option(
    "--evaluation-set", type=FOLDER, help="With --local: labelled conversations, for accuracy."
)
@click.option(
    "--policy",
    type=FILE,
    help="With --local: a policy (`models policy --json`), for its budgets and demanded gates.",
)
@click.option(
    "--sandbox-floor",
    metavar="LAYERS",
    help="With --local: layers that must hold the model, such as rlimits,seccomp.",
)
@registry_option
@json_lines_option
def validate(
    version: str | None,
    folder: Path | None,
    gates: tuple[Gate, ...],
    channel: str | None,
    baseline: Path | None,
    earlier: tuple[Path, ...],
    evaluation_set: Path | None,
    policy: Path | None,
    sandbox_floor: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Run VERSION (diarizer@1.2.0) through the gates; with --local, a package on this machine.

    Prints each gate's result and every rule that was broken: what was seen, what is allowed and
    what to change. With --json, a line for each gate that starts or ends, and the report last.

    Exit codes: 0 all gates asked for have passed, 1 one has not; others as for `voiceflow models`.
    """
    if (version is None) == (folder is None):
        raise click.UsageError("give either VERSION or --local FOLDER")
    local_only = {
        "--baseline": baseline,
        "--earlier": earlier,
        "--evaluation-set": evaluation_set,
        "--policy": policy,
        "--sandbox-floor": sandbox_floor,
    }
    with GatesView(out(), err(), as_json=as_json) as view:
        if folder is not None:
            if channel:
                raise click.UsageError("--channel is of a registry; with --local give --policy")
            from voiceflow.cli.models.local import run_locally  # noqa: PLC0415 - needs the extra

            passed = run_locally(
                view,
                folder,
                gates=gates,
                baseline=baseline,
                earlier=earlier,
                evaluation_set=evaluation_set,
                policy=policy,
                floor=sandbox_floor,
                as_json=as_json,
            )
        else:
            given = [option for option, value in local_only.items() if value]
            if given:
                raise click.UsageError(f"{', '.join(given)}: only with --local")
            name, of_channel = _names(str(version), channel)
            passed = asyncio.run(_run(view, registry, name, gates, of_channel, as_json=as_json))
    view.summary()
    if not passed:
        click.get_current_context().exit(1)


async def validate_version(
    client: RegistryClient,
    view: GatesView,
    version: VersionName | str,
    gates: tuple[Gate, ...] = (),
    channel: ChannelName | None = None,
) -> ValidationReport:
    """Runs a version through the gates of a registry and shows them."""
    report: ValidationReport | None = None
    async with aclosing(client.validate(version, gates=gates, channel=channel or "")) as events:
        async for event in events:
            match event:
                case Gate():
                    view.started(event)
                case GateResult():
                    view.ended(event)
                case ValidationReport():
                    report = event
    assert report is not None  # noqa: S101 - the last thing that the client tells
    return report


async def _run(
    view: GatesView,
    registry: Target,
    version: VersionName,
    gates: tuple[Gate, ...],
    channel: ChannelName | None,
    *,
    as_json: bool,
) -> bool:
    async with registry_client(registry) as client:
        report = await validate_version(client, view, version, gates, channel)
    if as_json:
        print_json_line({"report": as_data(report)})
    return report.passed


def _names(version: str, channel: str | None) -> tuple[VersionName, ChannelName | None]:
    try:
        name = version_name(version)
        return name, channel_name(channel, name.model) if channel else None
    except InvalidInput as error:
        raise click.UsageError(error.message) from error

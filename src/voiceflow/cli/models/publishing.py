"""`voiceflow models publish`, `yank`, `delete`, `download`."""

from __future__ import annotations

from pathlib import Path

import click

from voiceflow.catalog.channels import Promotion
from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.names import VersionName
from voiceflow.catalog.versions import Version, VersionState
from voiceflow.cli.models.bars import TransferBar
from voiceflow.cli.models.listing import version_data
from voiceflow.cli.models.names import VERSION, channel_name, short
from voiceflow.cli.models.promoting import promote_version, publish_package
from voiceflow.cli.models.session import (
    FILE,
    FOLDER,
    call,
    registry_option,
    request_id_option,
    validate_only_option,
)
from voiceflow.cli.models.signing import signing_of, signing_options
from voiceflow.cli.options import Target
from voiceflow.cli.printing import as_data, err, json_option, out, print_json
from voiceflow.cli.trust.keys import signing_key as read_signing_key
from voiceflow.client.registry import Published, RegistryClient
from voiceflow.errors import PackageInvalid
from voiceflow.package import CARD_FILE


@click.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--promote",
    "channel",
    help="Then run it through the gates that this channel demands, and promote it there: stable.",
)
@click.option("--reason", default="", help="Of the promotion, for people.")
@signing_options("the package")
@click.option(
    "--promotion-key",
    type=FILE,
    metavar="KEY.pem",
    help="With --promote: a promoter's key, which signs the promotion here.",
)
@validate_only_option
@request_id_option
@registry_option
@json_option
def publish(
    folder: Path,
    channel: str | None,
    reason: str,
    signing_key: Path | None,
    signature: Path | None,
    password_file: Path | None,
    promotion_key: Path | None,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Publish the package in FOLDER.

    The registry checks it (manifest, graph, contract) before anyone can see it. What was cut off
    goes on where it was; what the registry holds already is not sent again; the same bytes
    published again are answered with the version that stands there.

    A registry with a trust root takes signed packages alone: sign here with --signing-key, or
    before (models sign); what manifest.dsse.json holds is sent by itself.
    """
    if channel and validate_only:
        raise click.UsageError("--promote needs a version that is published: not --validate-only")
    if promotion_key is not None and not channel:
        raise click.UsageError("--promotion-key: goes with --promote")
    refuse_unfinished_card(folder)
    signing = signing_of(signing_key, signature, password_file)
    promoter = None if promotion_key is None else read_signing_key(promotion_key)

    async def act(
        client: RegistryClient,
    ) -> tuple[Published, ValidationReport | None, Promotion | None]:
        published = await publish_package(
            client,
            folder,
            request_id=request_id,
            signature=signing.signature,
            signing_key=signing.key,
            validate_only=validate_only,
        )
        if channel is None:
            return published, None, None
        version = published.version
        to = channel_name(channel, VersionName.parse(version.name).model)
        return published, *await promote_version(client, version, to, reason, signing_key=promoter)

    published, report, promotion = call(registry, act)
    if as_json:
        print_json(
            {
                "version": version_data(published.version),
                "report": as_data(report or published.report),
                "already_published": published.already_published,
                "promotion": promotion and as_data(promotion),
            }
        )
        return
    out().print(_published_line(published, validate_only=validate_only), highlight=False)
    if promotion is not None:
        out().print(
            f"{short(promotion.name)} serves {promotion.rollout.in_short}"
            f" (sequence {promotion.sequence})",
            highlight=False,
        )


def refuse_unfinished_card(folder: Path) -> None:
    """Refuses a package whose card still has places to fill in: nobody else can fill them."""
    from voiceflow.packing import UNFINISHED, is_unfinished  # noqa: PLC0415 - loads ONNX Runtime

    path = folder / CARD_FILE
    if path.is_file() and is_unfinished(path.read_text(encoding="utf-8", errors="replace")):
        raise PackageInvalid(
            f"{path} has places marked {UNFINISHED}: fill them in and pack again",
            reason="CARD_UNFINISHED",
            field=f"files.{CARD_FILE}",
        )


@click.command()
@click.argument("version", type=VERSION)
@click.option("--reason", required=True, help="Why, for people.")
@validate_only_option
@request_id_option
@registry_option
@json_option
def yank(
    version: VersionName,
    reason: str,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Mark VERSION as not to be promoted again; it cannot be undone.

    It stays readable, and a channel that serves it goes on: `rollback` moves that.
    """

    async def act(client: RegistryClient) -> tuple[Version, tuple[str, ...]]:
        return await client.yank(
            version, reason, request_id=request_id, validate_only=validate_only
        )

    yanked, channels = call(registry, act)
    if as_json:
        print_json({"version": version_data(yanked), "channels": list(channels)})
        return
    out().print(f"{short(yanked.name)} yanked", highlight=False)
    for channel in channels:
        err().print(
            f"{short(channel)} still names it: go back with voiceflow models rollback"
            f" {short(channel)}, or promote another version there",
            highlight=False,
            soft_wrap=True,
        )


@click.command()
@click.argument("version", type=VERSION)
@validate_only_option
@request_id_option
@registry_option
@json_option
def delete(
    version: VersionName,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Take the files of a yanked VERSION away; refused while a channel names it."""

    async def act(client: RegistryClient) -> Version:
        return await client.delete(version, request_id=request_id, validate_only=validate_only)

    deleted = call(registry, act)
    if as_json:
        print_json({"version": version_data(deleted)})
    else:
        out().print(f"{short(deleted.name)} deleted", highlight=False)


@click.command()
@click.argument("version", type=VERSION)
@click.option("--out", "folder", type=FOLDER, help="Where to. [MODEL-VERSION]")
@registry_option
@json_option
def download(version: VersionName, folder: Path | None, registry: Target, as_json: bool) -> None:
    """Fetch VERSION into a folder: verified, and complete as soon as it is there."""
    target = folder or Path(f"{version.model}-{version.version}")

    async def act(client: RegistryClient) -> Path:
        with TransferBar(err(), short(str(version))) as bar:
            return await client.download(version, target, on_progress=bar.show)

    path = call(registry, act)
    if as_json:
        print_json({"folder": str(path)})
    else:
        out().print(str(path), highlight=False, soft_wrap=True)


def _published_line(published: Published, *, validate_only: bool) -> str:
    name = short(published.version.name)
    if published.already_published:
        state = published.version.state
        since = "" if state is VersionState.PUBLISHED else f", and is {state} since"
        return f"{name} was published before, with the same bytes{since}"
    return f"{name} can be published" if validate_only else f"{name} published"

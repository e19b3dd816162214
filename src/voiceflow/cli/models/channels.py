"""`voiceflow models promote`, `rollback`, `history`, `watch`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from itertools import count
from pathlib import Path

import click

from voiceflow.catalog.channels import (
    Canary,
    Channel,
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    PromotionKind,
    Rollout,
    Shadow,
    VersionPin,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.cli.models.gates import GatesView
from voiceflow.cli.models.names import CHANNEL, VERSION, channel_name, short
from voiceflow.cli.models.promoting import not_passed
from voiceflow.cli.models.session import (
    FILE,
    as_data,
    as_moment,
    call,
    err,
    json_lines_option,
    json_option,
    out,
    print_json,
    print_json_line,
    registry_client,
    registry_option,
    request_id_option,
    validate_only_option,
)
from voiceflow.cli.models.signing import (
    Signing,
    check_rollout,
    signed_wish,
    signing_of,
    signing_options,
    write_statement,
)
from voiceflow.cli.models.tables import moment, promotions_table
from voiceflow.cli.models.validation import validate_version
from voiceflow.cli.options import MAXIMUM_INT64, Number, Target
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import InvalidInput, NotAllowedNow, NotFound

etag_option = click.option(
    "--etag", help="The state that you have seen, as `show` tells; refused if it has changed."
)
expires_option = click.option(
    "--expires",
    type=as_moment,
    metavar="TIME",
    help="When servers shall raise an alarm: ISO 8601, or 30d, 12h from now. They go on serving.",
)

statement_out_option = click.option(
    "--statement-out",
    type=FILE,
    help="With --validate-only: write what is to be signed here; it says just what is asked for.",
)


@click.command()
@click.argument("version", type=VERSION)
@click.option("--channel", required=True, help="stable, or diarizer/stable.")
@click.option(
    "--canary",
    type=Number(0.0, 100.0, min_open=True, max_open=True),
    metavar="PERCENT",
    help="Let it serve this part of the streams, beside the present primary.",
)
@click.option(
    "--shadow",
    type=Number(0.0, 100.0, min_open=True),
    is_flag=False,
    flag_value=100.0,
    metavar="[PERCENT]",
    help="Let it hear this part of the streams, and answer nobody.",
)
@click.option("--validate", "first_validate", is_flag=True, help="Run it through the gates first.")
@click.option("--allow-downgrade", is_flag=True, help="Let a lower version become the primary.")
@expires_option
@click.option("--reason", default="", help="Why, for people.")
@etag_option
@signing_options("the promotion")
@statement_out_option
@validate_only_option
@request_id_option
@registry_option
@json_option
def promote(
    version: VersionName,
    channel: str,
    canary: float | None,
    shadow: float | None,
    first_validate: bool,
    allow_downgrade: bool,
    expires: datetime | None,
    reason: str,
    etag: str | None,
    signing_key: Path | None,
    signature: Path | None,
    password_file: Path | None,
    statement_out: Path | None,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Make VERSION what a channel serves.

    Alone, it becomes the primary for all streams, and a canary or shadow ends. With --canary or
    --shadow the primary stays, and so does the other of the two.

    A registry with a trust root takes signed promotions alone. With --signing-key it is signed
    here, once the registry's statement proves to say just this. Where the key is on another
    machine: write the statement with --validate-only --statement-out FILE, sign it there (trust
    sign), and say the same again with --signature.
    """
    signing = _signing(signing_key, signature, password_file, expires, statement_out, validate_only)
    if canary is not None and shadow is not None:
        raise click.UsageError("give either --canary or --shadow; promote twice for both")
    try:
        name = channel_name(channel, version.model)
    except InvalidInput as error:
        raise click.UsageError(error.message) from error

    async def act(client: RegistryClient) -> tuple[Channel, Promotion]:
        rollout, seen = Rollout(primary=VersionPin(version=str(version))), etag
        if canary is not None or shadow is not None:
            present = await _present(client, name)
            rollout = _beside(present.rollout, version, canary, shadow)
            seen = present.etag if etag is None else etag
        if first_validate:
            with GatesView(err(), err(), as_json=False) as view:
                report = await validate_version(client, view, version, channel=name)
            view.summary()
            if not report.passed:
                raise not_passed(report, f"{short(str(version))} is not promoted")
        expire_time = expires
        if signing.signature is not None:
            signed = await signed_wish(client, name, PromotionKind.PROMOTE, signing.signature)
            check_rollout(signed.said.rollout, rollout)
            rollout, expire_time = signed.said.rollout, signed.said.expire_time
            seen = signed.etag if etag is None else etag
        return await client.promote(
            name,
            rollout,
            etag=seen,
            reason=reason,
            allow_downgrade=allow_downgrade,
            expire_time=expire_time,
            signature=signing.signature,
            signing_key=signing.key,
            request_id=request_id,
            validate_only=validate_only,
            check_statement=statement_out is not None,
        )

    _tell(*call(registry, act), statement_out, validate_only=validate_only, as_json=as_json)


@click.command()
@click.argument("channel", type=CHANNEL)
@click.option(
    "--to",
    "to_sequence",
    type=click.IntRange(1, MAXIMUM_INT64),
    metavar="SEQUENCE",
    help="Whose primary to go back to. [the newest other one that is not yanked]",
)
@expires_option
@click.option("--reason", default="", help="Why, for people.")
@etag_option
@signing_options("the rollback")
@statement_out_option
@validate_only_option
@request_id_option
@registry_option
@json_option
def rollback(
    channel: ChannelName,
    to_sequence: int | None,
    expires: datetime | None,
    reason: str,
    etag: str | None,
    signing_key: Path | None,
    signature: Path | None,
    password_file: Path | None,
    statement_out: Path | None,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Promote again what CHANNEL served before, without running gates; signed as `promote` says."""
    signing = _signing(signing_key, signature, password_file, expires, statement_out, validate_only)

    async def act(client: RegistryClient) -> tuple[Channel, Promotion]:
        seen, expire_time = etag, expires
        if signing.signature is not None:
            signed = await signed_wish(client, channel, PromotionKind.ROLLBACK, signing.signature)
            expire_time = signed.said.expire_time
            seen = signed.etag if etag is None else etag
        return await client.rollback(
            channel,
            to_sequence=to_sequence or 0,
            etag=seen,
            reason=reason,
            expire_time=expire_time,
            signature=signing.signature,
            signing_key=signing.key,
            request_id=request_id,
            validate_only=validate_only,
            check_statement=statement_out is not None,
        )

    _tell(*call(registry, act), statement_out, validate_only=validate_only, as_json=as_json)


@click.command()
@click.argument("channel", type=CHANNEL)
@click.option("--at", "time", type=as_moment, metavar="TIME", help="Only what served at this time.")
@click.option("--version", "version", type=VERSION, help="Only promotions that name this version.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@registry_option
@json_option
def history(
    channel: ChannelName,
    time: datetime | None,
    version: VersionName | None,
    limit: int | None,
    registry: Target,
    as_json: bool,
) -> None:
    """List the promotions of CHANNEL, newest first; with --at, what served at a time."""

    async def act(client: RegistryClient) -> list[Promotion]:
        if time is not None:
            found = await client.at_time(channel, time)
            return [] if found is None else [found]
        promotions: list[Promotion] = []
        async with aclosing(client.history(channel, version=version or "")) as entries:
            async for one in entries:
                promotions.append(one)
                if len(promotions) == limit:
                    break
        return promotions

    promotions = call(registry, act)
    if as_json:
        print_json({"promotions": [as_data(one) for one in promotions]})
    elif promotions:
        out().print(promotions_table(promotions))
    else:
        out().print("nothing served then" if time else "no promotions")


@click.command()
@click.argument("channels", type=CHANNEL, nargs=-1, required=True)
@click.option(
    "--after",
    type=click.IntRange(0, MAXIMUM_INT64),
    metavar="SEQUENCE",
    help="Begin after this promotion; 0: with the first. [the newest]",
)
@click.option("--count", "wanted", type=click.IntRange(1), help="End after so many promotions.")
@registry_option
@json_lines_option
def watch(
    channels: tuple[ChannelName, ...],
    after: int | None,
    wanted: int | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Tell of every promotion of CHANNELS as it comes, each once, until Ctrl-C.

    Ctrl-C is its normal end: exit code 0. Outages of the registry are outlasted. With --json also
    policies and heartbeats are told.
    """
    cursors = [ChannelCursor(channel=str(one), after_sequence=after) for one in channels]
    try:
        asyncio.run(_watch(registry, cursors, wanted, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _watch(
    registry: Target, cursors: list[ChannelCursor], wanted: int | None, *, as_json: bool
) -> None:
    numbers = count(1)
    async with registry_client(registry) as client, aclosing(client.watch(cursors)) as events:
        async for event in events:
            if as_json:
                print_json_line(_event_data(event))
            elif isinstance(event, Promotion):
                where = short(event.name)
                how = event.kind.value.replace("_", " ")
                text = event.rollout.in_short
                click.echo(f"{moment(event.commit_time)}  {where}  {event.sequence}  {how}  {text}")
            if isinstance(event, Promotion) and next(numbers) == wanted:
                return


def _event_data(event: WatchEvent) -> dict[str, object]:
    match event:
        case Promotion():
            return {"promotion": as_data(event)}
        case ChannelPolicy():
            return {"policy": as_data(event)}
        case Heartbeat():
            return {"heartbeat": as_data(event)}


async def _present(client: RegistryClient, name: ChannelName) -> Channel:
    try:
        return await client.get_channel(name)
    except NotFound as error:
        raise NotAllowedNow(
            f"{short(str(name))} serves nothing yet: promote a primary first",
            reason=error.reason,
            field="channel",
        ) from error


def _beside(
    present: Rollout, version: VersionName, canary: float | None, shadow: float | None
) -> Rollout:
    """The present rollout with a version on trial."""
    pin = VersionPin(version=str(version))
    if canary is not None:
        return present.model_copy(update={"canary": Canary(pin=pin, percentage=canary)})
    return present.model_copy(update={"shadow": Shadow(pin=pin, percentage=shadow or 100.0)})


def _signing(
    key: Path | None,
    signature: Path | None,
    password_file: Path | None,
    expires: datetime | None,
    statement_out: Path | None,
    validate_only: bool,
) -> Signing:
    if statement_out is not None and not validate_only:
        raise click.UsageError("--statement-out: goes with --validate-only")
    if signature is not None and expires is not None:
        raise click.UsageError("--expires: with --signature, what was signed says when")
    return signing_of(key, signature, password_file)


def _tell(
    channel: Channel,
    promotion: Promotion,
    statement_out: Path | None,
    *,
    validate_only: bool,
    as_json: bool,
) -> None:
    if statement_out is not None:
        write_statement(statement_out, promotion.statement)
    if as_json:
        print_json({"channel": as_data(channel), "promotion": as_data(promotion)})
        return
    would = "would serve" if validate_only else "serves"
    out().print(
        f"{short(channel.name)} {would} {promotion.rollout.in_short}"
        f" (sequence {promotion.sequence})",
        highlight=False,
    )

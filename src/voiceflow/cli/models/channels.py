"""`voiceflow models promote`, `rollback`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from voiceflow.catalog.channels import (
    Canary,
    Channel,
    Promotion,
    PromotionKind,
    Rollout,
    Shadow,
    VersionPin,
)
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.cli.models.gates import GatesView
from voiceflow.cli.models.names import CHANNEL, VERSION, channel_name, short
from voiceflow.cli.models.promoting import not_passed
from voiceflow.cli.models.session import (
    FILE,
    call,
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
from voiceflow.cli.models.validation import validate_version
from voiceflow.cli.options import MAXIMUM_INT64, Number, Target, as_moment
from voiceflow.cli.printing import as_data, err, json_option, out, print_json
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import InvalidInput, NotAllowedNow
from voiceflow.trust.authority import read_statement
from voiceflow.trust.root import read_trust_roots

etag_option = click.option(
    "--etag", help="The state that you have seen, as `show` tells; refused if it has changed."
)
expires_option = click.option(
    "--expires",
    type=as_moment,
    metavar="TIME",
    help="When servers shall raise an alarm: ISO 8601, or 30d, 12h from now. They go on serving.",
)
trust_root_option = click.option(
    "--trust-root",
    type=FILE,
    help="Yours: before you sign, check by it who signed what the channel serves now.",
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
@trust_root_option
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
    trust_root: Path | None,
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
    signing = _signing(
        *(signing_key, signature, password_file, trust_root),
        *(expires, statement_out, validate_only),
    )
    if canary is not None and shadow is not None:
        raise click.UsageError("give either --canary or --shadow; promote twice for both")
    try:
        name = channel_name(channel, version.model)
    except InvalidInput as error:
        raise click.UsageError(error.message) from error

    async def act(client: RegistryClient) -> tuple[Channel, Promotion]:
        rollout, seen = Rollout(primary=VersionPin(version=str(version))), etag
        newest: Promotion | None = None
        if canary is not None or shadow is not None:
            newest = await _present(client, name)
            rollout = _beside(newest, version, canary, shadow)
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
            newest=newest,
            etag=seen,
            reason=reason,
            allow_downgrade=allow_downgrade,
            expire_time=expire_time,
            signature=signing.signature,
            signing_key=signing.key,
            trust_root=signing.trust_root,
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
    help="Whose primary to go back to. [the present one, where a canary or shadow stands; else the"
    " newest other one that is not yanked]",
)
@expires_option
@click.option("--reason", default="", help="Why, for people.")
@etag_option
@signing_options("the rollback")
@trust_root_option
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
    trust_root: Path | None,
    statement_out: Path | None,
    validate_only: bool,
    request_id: str | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Promote again what CHANNEL served before, without running gates.

    While a canary or shadow stands, that is what ends, and the primary stays; say the same again,
    or --to, to leave the primary, too. Signed as `promote` says.
    """
    signing = _signing(
        *(signing_key, signature, password_file, trust_root),
        *(expires, statement_out, validate_only),
    )

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
            trust_root=signing.trust_root,
            request_id=request_id,
            validate_only=validate_only,
            check_statement=statement_out is not None,
        )

    serves, made = call(registry, act)
    if made.rollback_to_sequence == made.sequence - 1:
        err().print("What was on trial ends; the primary stays.")
    _tell(serves, made, statement_out, validate_only=validate_only, as_json=as_json)


async def _present(client: RegistryClient, name: ChannelName) -> Promotion:
    newest = await client.newest(name)
    if newest is None:
        raise NotAllowedNow(
            f"{short(str(name))} serves nothing yet: promote a primary first",
            reason="CHANNEL_NOT_FOUND",
            field="channel",
        )
    return newest


def _beside(
    newest: Promotion, version: VersionName, canary: float | None, shadow: float | None
) -> Rollout:
    """What a channel serves, as is signed and not as is told, with a version on trial."""
    present = read_statement(newest.statement)[0].rollout
    pin = VersionPin(version=str(version))
    if canary is not None:
        return present.model_copy(update={"canary": Canary(pin=pin, percentage=canary)})
    return present.model_copy(update={"shadow": Shadow(pin=pin, percentage=shadow or 100.0)})


def _signing(
    key: Path | None,
    signature: Path | None,
    password_file: Path | None,
    trust_root: Path | None,
    expires: datetime | None,
    statement_out: Path | None,
    validate_only: bool,
) -> Signing:
    if statement_out is not None and not validate_only:
        raise click.UsageError("--statement-out: goes with --validate-only")
    if signature is not None and expires is not None:
        raise click.UsageError("--expires: with --signature, what was signed says when")
    if trust_root is not None and key is None and statement_out is None:
        raise click.UsageError("--trust-root: goes with --signing-key or --statement-out")
    signing = signing_of(key, signature, password_file)
    root = None if trust_root is None else read_trust_roots(trust_root).newest
    return replace(signing, trust_root=root)


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

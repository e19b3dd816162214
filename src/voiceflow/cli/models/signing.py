"""`voiceflow models sign`, and how publishing and promoting come by a signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import click

from voiceflow.catalog.channels import PromotionKind, Rollout
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Signature
from voiceflow.cli.models.names import short
from voiceflow.cli.models.session import FILE, FOLDER
from voiceflow.cli.printing import err, json_option, out, print_json
from voiceflow.cli.trust.files import read_bytes, replace
from voiceflow.cli.trust.keys import password_option, signing_key
from voiceflow.client.registry import RegistryClient, open_package, sign_package
from voiceflow.errors import Conflict, NotFound, Untrusted
from voiceflow.package import SIGNATURE_FILE
from voiceflow.trust.authority import read_statement
from voiceflow.trust.envelopes import (
    ENVELOPE_MEDIA_TYPE,
    MAXIMUM_ENVELOPE_BYTES,
    PayloadType,
    read_envelope,
)
from voiceflow.trust.root import TrustRoot
from voiceflow.trust.signing import SigningKey
from voiceflow.trust.statements import Statement

Command: TypeAlias = Callable[..., Any]


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--key", type=FILE, required=True, metavar="KEY.pem", help="The publisher's key.")
@password_option
@json_option
def sign(folder: Path, key: Path, password_file: Path | None, as_json: bool) -> None:
    """Sign the package in FOLDER, so that whoever publishes it needs no key.

    Every file must be just what the manifest states. The signature goes into manifest.dsse.json
    beside it. No network is needed.
    """
    package = open_package(folder)
    signer = signing_key(key, password_file)
    signature = sign_package(package, signer)
    target = folder / SIGNATURE_FILE
    replace(target, signature.content)
    name = package.manifest.resource_name
    if as_json:
        print_json({"version": name, "key": signer.key_id, "signature": str(target)})
    else:
        out().print(
            f"{short(name)} ({package.manifest_digest}) is signed by {signer.key_id}: {target}",
            highlight=False,
            soft_wrap=True,
        )


@dataclass(frozen=True, slots=True)
class Signing:
    """How what a command does is to be signed.

    Attributes:
        key: Signs here; None: nothing does.
        signature: Was made elsewhere; None: none was.
        trust_root: By it, what is gone on from must be signed; None: that is not looked at.
    """

    key: SigningKey | None
    signature: Signature | None
    trust_root: TrustRoot | None = None


def signing_options(what: str) -> Callable[[Command], Command]:
    """Options of a command that takes `signing_key`, `password_file` and `signature`.

    Args:
        what: Is signed, for the help.
    """
    options = (
        click.option(
            "--signing-key", type=FILE, metavar="KEY.pem", help=f"Your key: signs {what} here."
        ),
        click.option(
            "--signature", type=FILE, help=f"Instead: a signature over {what}, made elsewhere."
        ),
        password_option,
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def signing_of(key: Path | None, signature: Path | None, password_file: Path | None) -> Signing:
    """What the options say.

    Raises:
        InvalidInput: KEY_INVALID, FILE_UNREADABLE.
        click.UsageError: They do not go together.
    """
    if key is not None and signature is not None:
        raise click.UsageError("give either --signing-key or --signature")
    if password_file is not None and key is None:
        raise click.UsageError("--password-file: goes with --signing-key")
    return Signing(
        None if key is None else signing_key(key, password_file),
        None if signature is None else _read_signature(signature),
    )


@dataclass(frozen=True, slots=True)
class SignedWish:
    """A promotion that was signed elsewhere.

    Attributes:
        said: What was signed; who signed it is for the registry to check.
        signature: In its envelope.
        etag: Of the channel that it follows.
    """

    said: Statement
    signature: Signature
    etag: str


async def signed_wish(
    client: RegistryClient, channel: ChannelName, kind: PromotionKind, signature: Signature
) -> SignedWish:
    """What a signature lets the registry do with a channel.

    Raises:
        Untrusted: SIGNATURE_INVALID, STATEMENT_INVALID: it is over no promotion;
            STATEMENT_MISMATCH: it is over another one.
        Conflict: ETAG_STALE: the channel has gone on since.
    """
    said, name = read_statement(read_envelope(signature, PayloadType.PROMOTION).payload)
    if (name, said.kind) != (channel, kind):
        raise _mismatch(f"{said.kind.value} of {short(str(name))}", f"{kind.value} of {channel}")
    sequence, etag = await _state(client, channel)
    if said.sequence != sequence + 1:
        raise Conflict(
            f"signed is promotion {said.sequence} of {short(str(channel))}, which is at {sequence}"
            " by now: make its statement and sign it again",
            reason="ETAG_STALE",
            field="etag",
        )
    return SignedWish(said, signature, etag)


def check_rollout(said: Rollout, wanted: Rollout) -> None:
    """Checks that a rollout that was signed is the one that is asked for; digests aside.

    Raises:
        Untrusted: STATEMENT_MISMATCH.
    """
    if said.in_short != wanted.in_short:
        raise _mismatch(said.in_short, wanted.in_short)


def write_statement(path: Path, statement: bytes) -> None:
    """Writes what is to be signed, and says how that goes on."""
    replace(path, statement)
    err().print(
        f"{path}: sign it where the key is, with voiceflow trust sign {path} --key KEY.pem, and"
        " come back with --signature",
        highlight=False,
        soft_wrap=True,
    )


async def _state(client: RegistryClient, channel: ChannelName) -> tuple[int, str]:
    try:
        present = await client.get_channel(channel)
    except NotFound:
        return 0, ""
    return present.sequence, present.etag


def _read_signature(path: Path) -> Signature:
    return Signature(
        media_type=ENVELOPE_MEDIA_TYPE, content=read_bytes(path, MAXIMUM_ENVELOPE_BYTES)
    )


def _mismatch(signed: str, wanted: str) -> Untrusted:
    return Untrusted(f"signed is: {signed}; asked for is: {wanted}", reason="STATEMENT_MISMATCH")

"""`voiceflow trust sign`: one signature, on a machine that needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from voiceflow.artifact import Manifest
from voiceflow.catalog.channels import Role
from voiceflow.catalog.values import Signature
from voiceflow.cli.printing import tell
from voiceflow.cli.trust.files import (
    FILE,
    check_follows,
    known_root_option,
    read_bytes,
    replace,
)
from voiceflow.cli.trust.keys import password_option, signing_key
from voiceflow.cli.trust.telling import tell_change, tell_lacks
from voiceflow.errors import AlreadyExists, InvalidInput, PackageInvalid, Untrusted
from voiceflow.trust.authority import read_statement
from voiceflow.trust.drafts import Draft
from voiceflow.trust.envelopes import (
    ENVELOPE_MEDIA_TYPE,
    MAXIMUM_ENVELOPE_BYTES,
    PayloadType,
    read_envelope,
)
from voiceflow.trust.root import MAXIMUM_CHAIN_BYTES
from voiceflow.trust.signing import SigningKey

SIGNATURE_SUFFIX = ".dsse.json"


@click.command()
@click.argument("path", type=FILE, metavar="FILE")
@click.option("--key", type=FILE, required=True, metavar="KEY.pem", help="The key that signs.")
@password_option
@click.option(
    "--out",
    type=FILE,
    help="Where the signature goes. [a trust root: itself; else FILE with .dsse.json]",
)
@known_root_option
@click.option("--yes", is_flag=True, help="Do not ask: for scripts, where it was looked at before.")
def sign(
    path: Path,
    key: Path,
    password_file: Path | None,
    out: Path | None,
    trust_root: Path | None,
    yes: bool,
) -> None:
    """Add one signature to FILE: a draft of the trust root, a manifest, or a promotion's statement.

    What FILE is, is seen from it; what it says is told, and asked about, before it is signed. A
    draft is signed in place. The others' signature goes into a file of its own, and beside
    signatures that are there already.

    Look at a draft with --trust-root: what it changes is else only what its sender says that it
    changes.
    """
    content = read_bytes(path, MAXIMUM_CHAIN_BYTES)
    payload_type, what = described(content)
    if payload_type is PayloadType.TRUST_ROOT:
        draft = Draft.from_json(content)
        check_follows(draft, trust_root)
        tell_change(draft)
        _ask(yes=yes)
        signed = draft.signed_by(signing_key(key, password_file))
        replace(out or path, signed.to_json())
        tell_lacks(out or path, signed)
        return
    tell(what)
    _ask(yes=yes)
    signer = signing_key(key, password_file)
    target = out or path.with_suffix(SIGNATURE_SUFFIX)
    if target.exists():
        signature = _sign_also(target, content, payload_type, signer)
    else:
        signature = signer.sign(content, payload_type)
    replace(target, signature.content)
    tell(f"{target}: signed by {signer.key_id}")


def described(content: bytes) -> tuple[PayloadType, str]:
    """What a content is, and what it says, in a few words.

    Raises:
        InvalidInput: FILE_UNKNOWN: nothing that is signed.
    """
    try:
        said, channel = read_statement(content)
    except Untrusted as error:
        not_a_statement = error.message
    else:
        canary, shadow = said.rollout.canary, said.rollout.shadow
        shares = {
            Role.CANARY: f" at {canary.percentage:g} %" if canary else "",
            Role.SHADOW: f" of {shadow.percentage:g} %" if shadow else "",
        }
        pins = [
            f"{role.value} {pin.version.rpartition('/')[2]} ({pin.manifest_digest})"
            f"{shares.get(role, '')}"
            for role, pin in said.rollout.pins().items()
        ]
        expiry = f", expires {said.expire_time}" if said.expire_time else ""
        return PayloadType.PROMOTION, (
            f"{said.kind.value} {said.sequence} of {channel}: {', '.join(pins)}{expiry}"
        )
    try:
        manifest = Manifest.from_json(content)
    except PackageInvalid as error:
        not_a_manifest = error.message
    else:
        return PayloadType.MANIFEST, f"the manifest of {manifest.resource_name}"
    if b'"roots"' in content:
        return PayloadType.TRUST_ROOT, "a trust root"
    raise InvalidInput(
        f"this is nothing that is signed: {not_a_statement}; {not_a_manifest}",
        reason="FILE_UNKNOWN",
    )


def _ask(*, yes: bool) -> None:
    """Goes on once somebody has read what is told, and says so.

    Raises:
        click.UsageError: Nobody is there to be asked.
        click.Abort: No.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: look at it (trust show), and say --yes")
    click.confirm("Sign this?", abort=True, err=True)


def _sign_also(
    target: Path, content: bytes, payload_type: PayloadType, signer: SigningKey
) -> Signature:
    present = Signature(
        media_type=ENVELOPE_MEDIA_TYPE, content=read_bytes(target, MAXIMUM_ENVELOPE_BYTES)
    )
    if read_envelope(present, payload_type).payload != content:
        raise AlreadyExists(
            f"{target}: is a signature over something else; name another file with --out",
            reason="FILES_EXIST",
            field="out",
        )
    return signer.sign_also(present, payload_type)

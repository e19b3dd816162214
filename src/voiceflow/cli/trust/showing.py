"""`voiceflow trust show` and `check`: what is in a trust root, and whether it holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from voiceflow.artifact import Manifest
from voiceflow.catalog.values import Signature, iso
from voiceflow.cli.printing import json_option, print_json, tell
from voiceflow.cli.trust.files import FILE, check_follows, known_root_option, read_bytes
from voiceflow.cli.trust.signing import SIGNATURE_SUFFIX, described
from voiceflow.cli.trust.telling import root_lines, tell_change, tell_lacks
from voiceflow.errors import InvalidInput
from voiceflow.trust.authority import check_manifest, check_promotion
from voiceflow.trust.drafts import Draft
from voiceflow.trust.envelopes import ENVELOPE_MEDIA_TYPE, MAXIMUM_ENVELOPE_BYTES, PayloadType
from voiceflow.trust.root import MAXIMUM_CHAIN_BYTES, TrustRoot, read_trust_roots


@click.command()
@click.argument("path", type=FILE, metavar="FILE")
@known_root_option
@json_option
def show(path: Path, trust_root: Path | None, as_json: bool) -> None:
    """Show what FILE says: a trust root, a manifest, or a promotion's statement.

    Of a trust root the newest version, what it changes, and whose signatures it lacks.
    """
    content = read_bytes(path, MAXIMUM_CHAIN_BYTES)
    payload_type, what = described(content)
    if payload_type is not PayloadType.TRUST_ROOT:
        if as_json:
            print_json({"payload_type": payload_type.value, "payload": json.loads(content)})
        else:
            tell(what)
        return
    draft = Draft.from_json(content)
    check_follows(draft, trust_root)
    if as_json:
        print_json(_as_data(draft))
        return
    for line in root_lines(draft.root):
        tell(line)
    if draft.before is not None:
        tell_change(draft)
    for key in sorted(draft.signers):
        tell(f"signed by   {key}")
    tell_lacks(path, draft)


@click.command()
@click.argument("path", type=FILE, metavar="FILE")
@click.option(
    "--trust-root", type=FILE, help="By which a manifest or a promotion's statement is judged."
)
@click.option("--signature", type=FILE, help="Of that.  [FILE with .dsse.json]")
def check(path: Path, trust_root: Path | None, signature: Path | None) -> None:
    """Check that FILE holds: a complete trust root; with --trust-root, what was signed.

    Exit code 7 if it does not.
    """
    if trust_root is None:
        root = read_trust_roots(path).newest
        tell(f"{path}: version {root.version} of the trust root holds")
        _tell_expiry(path, root)
        return
    root = read_trust_roots(trust_root).newest
    envelope = signature or path.with_suffix(SIGNATURE_SUFFIX)
    what = _check_signed(
        root,
        read_bytes(path, MAXIMUM_ENVELOPE_BYTES),
        read_bytes(envelope, MAXIMUM_ENVELOPE_BYTES),
    )
    tell(f"{path}: {what} is signed by who may")
    _tell_expiry(trust_root, root)


def _check_signed(root: TrustRoot, content: bytes, envelope: bytes) -> str:
    payload_type, what = described(content)
    signature = Signature(media_type=ENVELOPE_MEDIA_TYPE, content=envelope)
    match payload_type:
        case PayloadType.MANIFEST:
            model = Manifest.from_json(content).model
            check_manifest(root, model=model, manifest=content, signature=signature, new=False)
        case PayloadType.PROMOTION:
            check_promotion(root, statement=content, signature=signature, new=False)
        case PayloadType.TRUST_ROOT:
            raise InvalidInput(
                "a trust root is judged by itself, without --trust-root", reason="FILE_UNKNOWN"
            )
    return what


def _tell_expiry(path: Path, root: TrustRoot) -> None:
    if root.expire_time is not None and root.expired(datetime.now(UTC)):
        tell(f"voiceflow: {path}: expired at {iso(root.expire_time)}", err=True)


def _as_data(draft: Draft) -> dict[str, object]:
    return {
        "root": json.loads(draft.root.to_bytes()),
        "complete": not draft.lacks,
        "signers": sorted(draft.signers),
        "missing": [
            {
                "version": lack.version,
                "missing": lack.missing,
                "threshold": lack.threshold,
                "unsigned": list(lack.unsigned),
            }
            for lack in draft.lacks
        ],
    }

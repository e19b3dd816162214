"""Commands that write the next version of the trust root; nothing counts until it is signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
from securesystemslib.signer import SSlibKey

from voiceflow.catalog.channels import PromotionKind
from voiceflow.cli.options import as_moment, text
from voiceflow.cli.trust.files import FILE, draft_path, read_draft, replace
from voiceflow.cli.trust.keys import public_key
from voiceflow.cli.trust.telling import tell_lacks
from voiceflow.errors import AlreadyExists
from voiceflow.trust.drafts import (
    Draft,
    find_key,
    first_root,
    with_expiry,
    with_promoter,
    with_publisher,
    with_root_keys,
    with_status,
)
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot

_root_argument = click.argument("path", type=FILE, metavar="TRUST_ROOT")
_out_option = click.option(
    "--out",
    type=FILE,
    help="Where the draft goes. [a draft: itself; else TRUST_ROOT with .draft.json]",
)
_key_option = click.option(
    "--key", type=public_key, required=True, metavar="KEY.pub", help="The public half of the key."
)
_key_argument = click.argument("key", type=text, metavar="KEY")


@click.command()
@click.option(
    "--root-key",
    "root_keys",
    type=public_key,
    multiple=True,
    required=True,
    metavar="KEY.pub",
    help="The public half of a key that may sign trust roots; several.",
)
@click.option(
    "--threshold", type=int, default=2, show_default=True, help="How many of them must sign."
)
@click.option("--expires", type=as_moment, metavar="TIME", help="When an alarm is raised: 365d.")
@click.option("--out", type=FILE, required=True, help="Where the draft goes.")
def init(
    root_keys: tuple[SSlibKey, ...], threshold: int, expires: datetime | None, out: Path
) -> None:
    """Begin a trust root: who may sign it, and nobody else yet.

    Give every holder of a root key the file to sign; add publishers and promoters before.
    """
    if out.exists():
        raise AlreadyExists(
            f"{out}: is there already, and a trust root is never begun anew",
            reason="FILES_EXIST",
            field="out",
        )
    draft = Draft.of(None, first_root(root_keys, threshold=threshold, expire_time=expires))
    replace(out, draft.to_json())
    tell_lacks(out, draft)


@click.command("add-publisher")
@_root_argument
@_key_option
@click.option(
    "--model",
    "models",
    type=text,
    multiple=True,
    required=True,
    metavar="MODEL",
    help="Whose manifests it may sign: diarizer, asr-*; several.",
)
@_out_option
def add_publisher(path: Path, key: SSlibKey, models: tuple[str, ...], out: Path | None) -> None:
    """Let a key sign manifests."""
    _change(path, out, lambda root: with_publisher(root, key, models))


@click.command("add-promoter")
@_root_argument
@_key_option
@click.option(
    "--channel",
    "channels",
    type=text,
    multiple=True,
    required=True,
    metavar="NAME",
    help="models/diarizer/channels/*; several.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice([kind.value for kind in PromotionKind]),
    multiple=True,
    default=[PromotionKind.PROMOTE.value, PromotionKind.ROLLBACK.value],
    show_default=True,
    help="What it may sign; automatic_rollback alone for the registry's own key.",
)
@_out_option
def add_promoter(
    path: Path,
    key: SSlibKey,
    channels: tuple[str, ...],
    kinds: tuple[str, ...],
    out: Path | None,
) -> None:
    """Let a key sign promotions."""
    wanted = [PromotionKind(kind) for kind in kinds]
    _change(path, out, lambda root: with_promoter(root, key, channels, wanted))


@click.command()
@_root_argument
@_key_argument
@_out_option
def retire(path: Path, key: str, out: Path | None) -> None:
    """Let KEY sign nothing new; what it has signed stays valid.

    KEY is the beginning of a key's id.
    """
    _set_status(path, key, KeyStatus.RETIRED, out)


@click.command()
@_root_argument
@_key_argument
@_out_option
def revoke(path: Path, key: str, out: Path | None) -> None:
    """Let nothing hold that KEY has ever signed: it is lost, or stolen.

    KEY is the beginning of a key's id. Before this version comes into force, promote what shall go
    on to be served: with another key, if it is a promoter's; if it is a publisher's, after it was
    published under another number, signed with another key.
    """
    _set_status(path, key, KeyStatus.REVOKED, out)


@click.command("rotate-root")
@_root_argument
@click.option(
    "--add", type=public_key, multiple=True, metavar="KEY.pub", help="Becomes a root key; several."
)
@click.option(
    "--remove", type=text, multiple=True, metavar="KEY", help="Is none any more; several."
)
@click.option("--threshold", type=int, help="How many must sign from then on. [as before]")
@_out_option
def rotate_root(
    path: Path,
    add: tuple[SSlibKey, ...],
    remove: tuple[str, ...],
    threshold: int | None,
    out: Path | None,
) -> None:
    """Change who signs trust roots.

    Enough of those who sign now must sign it, and enough of those who shall.
    """

    def change(root: TrustRoot) -> TrustRoot:
        gone = [find_key(root, one) for one in remove]
        return with_root_keys(root, add=add, remove=gone, threshold=threshold)

    _change(path, out, change)


@click.command("set-expiry")
@_root_argument
@click.argument("time", type=text, metavar="TIME")
@_out_option
def set_expiry(path: Path, time: str, out: Path | None) -> None:
    """Set when an alarm is raised, as a reminder to make the next version.

    TIME is 2027-01-01, 365d, or never. Nothing stops when it is past.
    """
    expire_time = None if time == "never" else as_moment(time)
    _change(path, out, lambda root: with_expiry(root, expire_time))


def _set_status(path: Path, key: str, status: KeyStatus, out: Path | None) -> None:
    _change(path, out, lambda root: with_status(root, find_key(root, key), status))


def _change(path: Path, out: Path | None, change: Callable[[TrustRoot], TrustRoot]) -> None:
    present = read_draft(path)
    target = out or draft_path(path, present)
    if target != path and target.exists():
        raise AlreadyExists(
            f"{target}: is there already; go on with it, or name another one with --out",
            reason="FILES_EXIST",
            field="out",
        )
    draft = present.changed(change(present.root))
    replace(target, draft.to_json())
    if present.lacks and present.signers:
        gone = len(present.signers)
        click.echo(f"voiceflow: {gone} signatures of the draft before are void", err=True)
    tell_lacks(target, draft)

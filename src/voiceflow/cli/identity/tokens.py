"""`voiceflow tokens`: tokens for callers without a certificate of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from voiceflow.cli.options import text
from voiceflow.errors import AlreadyExists
from voiceflow.identity.files import read_text, write_file
from voiceflow.identity.key_set import TokenKey, read_token_key, with_token_key, without_key
from voiceflow.identity.tokens import MAXIMUM_VALID_SECONDS, issue_token

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@click.group()
def tokens() -> None:
    """Issue tokens that name a caller, and keep the keys for that."""


def _seconds(value: Any) -> int:
    """Reads a span of time such as 90s, 15m or 1h."""
    found = re.fullmatch(r"([0-9]{1,6})([smh])", text(value))
    if found is None:
        raise click.BadParameter(f"{value!r} is no time; such as 90s, 15m or 1h")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


@tokens.command()
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The issuer's private key, a JWK; such as token-key.json of dev-certs.",
)
@click.option(
    "--principal",
    type=text,
    required=True,
    metavar="SPIFFE-ID",
    help="Whom it names, such as spiffe://voiceflow.local/publisher/dev.",
)
@click.option(
    "--audience",
    type=text,
    required=True,
    metavar="NAME",
    help="Whom it is for: voiceflow-inference, voiceflow-registry.",
)
@click.option(
    "--valid",
    "valid_seconds",
    type=_seconds,
    default="15m",
    show_default=True,
    metavar="TIME",
    help=f"For how long: 90s, 15m, at most {MAXIMUM_VALID_SECONDS // 3600}h.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that you alone can read, for --token-file; else it is printed, and nothing else.",
)
def issue(key: Path, principal: str, audience: str, valid_seconds: int, out: Path | None) -> None:
    """Issue a token."""
    token = issue_token(
        read_token_key(key), principal=principal, audience=audience, valid_seconds=valid_seconds
    )
    if out is None:
        click.echo(token)
    else:
        write_file(out, f"{token}\n".encode(), private=True)


_keys_option = click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="JWKS",
    help="The key set that servers are given as --keys.",
)


@tokens.command()
@_keys_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where the private key goes; it must not be there yet.",
)
def keygen(keys: Path, out: Path) -> None:
    """Make a key that issues tokens, and let servers with the key set take them.

    A key set that is not there yet is made, with a key for resume tokens. To replace a key: make
    the new one, give all servers the key set, issue with the new key, and drop the old one when its
    last token has ended.
    """
    if out.exists():
        raise AlreadyExists(f"{out} is there already", reason="FILES_EXIST", field="out")
    key = TokenKey.generate()
    before = _key_set(keys) if keys.exists() else None
    content = with_token_key(before, key)
    write_file(out, key.to_json().encode(), private=True)
    write_file(keys, content.encode(), private=True)
    click.echo(key.key_id)


@tokens.command()
@_keys_option
@click.argument("key_id", metavar="KEY_ID")
def drop_key(keys: Path, key_id: str) -> None:
    """Take a key out of the key set: what was issued or sealed with it is refused.

    Of a key set that was made elsewhere, write -- before an id that begins with a dash.
    """
    write_file(keys, without_key(_key_set(keys), key_id).encode(), private=True)


def _key_set(path: Path) -> str:
    return read_text(path, reason="KEYS_INVALID", field="keys")

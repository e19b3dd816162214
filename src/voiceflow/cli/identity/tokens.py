"""`voiceflow tokens`: tokens for callers without a certificate of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from voiceflow.cli.options import text
from voiceflow.identity.key_set import read_token_key
from voiceflow.identity.tokens import MAXIMUM_VALID_SECONDS, issue_token

_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@click.group()
def tokens() -> None:
    """Issue tokens that name a caller."""


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
def issue(key: Path, principal: str, audience: str, valid_seconds: int) -> None:
    """Print a token, and nothing else.

    Write it to a file that only its user can read, for --token-file.
    """
    click.echo(
        issue_token(
            read_token_key(key), principal=principal, audience=audience, valid_seconds=valid_seconds
        )
    )

"""`voiceflow dev-certs`: everything that services and callers on one machine need for TLS."""

from __future__ import annotations

from pathlib import Path

import click

from voiceflow.cli.options import text
from voiceflow.identity.development import (
    HOSTS,
    TRUST_DOMAIN,
    VALID_DAYS,
    write_development_identity,
)


@click.command("dev-certs")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--trust-domain",
    type=text,
    default=TRUST_DOMAIN,
    show_default=True,
    metavar="NAME",
    help="Of the principals: spiffe://NAME/publisher/dev.",
)
@click.option(
    "--host",
    "hosts",
    type=text,
    multiple=True,
    metavar="NAME|ADDRESS",
    help=f"Where the server is reached; may be given again.  [default: {', '.join(HOSTS)}]",
)
@click.option(
    "--valid-days",
    type=int,
    default=VALID_DAYS,
    show_default=True,
    help="For how long the certificates hold.",
)
@click.option("--force", is_flag=True, help="Replace the files that are there.")
def dev_certs(
    folder: Path, trust_domain: str, hosts: tuple[str, ...], valid_days: int, force: bool
) -> None:
    """Make a CA, certificates, grants and keys for development in FOLDER.

    The server's and every role's certificate, access.yaml (--access), keys.json (--keys) and
    token-key.json, which issues tokens. Whoever can read FOLDER is every role: nothing of it
    belongs on a server that others reach.
    """
    files = write_development_identity(
        folder,
        trust_domain=trust_domain,
        hosts=hosts or HOSTS,
        valid_days=valid_days,
        force=force,
    )
    for file in files:
        click.echo(str(file))

"""`voiceflow trust dev`: every key and a trust root at once."""

from __future__ import annotations

from pathlib import Path

import click

from voiceflow.trust.development import write_development_trust


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the files that are there.")
def dev(folder: Path, force: bool) -> None:
    """Make every key and a signed trust root for development in FOLDER.

    root-1, root-2 and root-3 (two of them sign), publisher, promoter, registry: .pem without a
    password, and .pub; trust-root.json. Whoever can read FOLDER can sign everything.
    """
    for path in write_development_trust(folder, force=force):
        click.echo(str(path))

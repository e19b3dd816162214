"""Options that several commands share."""

from __future__ import annotations

import click

DEFAULT_SERVER = "127.0.0.1:50051"

server_option = click.option(
    "--server",
    default=DEFAULT_SERVER,
    show_default=True,
    envvar="VOICEFLOW_SERVER",
    metavar="HOST:PORT",
    help="The inference service; also from VOICEFLOW_SERVER.",
)

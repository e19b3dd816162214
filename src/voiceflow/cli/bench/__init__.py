"""The commands that put a service under load and say what it does with it."""

import click

from voiceflow.cli.bench.calls import calls
from voiceflow.cli.bench.streams import streams

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Put a service under load: how many streams it carries, and how soon it answers.

    Without --server a service is started on this machine for as long as that takes. The load
    generator takes its share of the machine on which it runs: where the server is another one, that
    costs the server nothing, and its processor time and memory are not seen.
    """


bench.add_command(streams)
bench.add_command(calls)

"""The group, and the order in which its commands are listed: that of a model's life."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from voiceflow.cli.models.channels import promote, rollback
from voiceflow.cli.models.comparing import compare
from voiceflow.cli.models.history import history, watch
from voiceflow.cli.models.listing import diff, list_, show
from voiceflow.cli.models.operating import collect_garbage, pods, policy
from voiceflow.cli.models.packing import pack
from voiceflow.cli.models.publishing import delete, download, publish, yank
from voiceflow.cli.models.signing import sign
from voiceflow.cli.models.validation import validate
from voiceflow.cli.options import text
from voiceflow.cli.tracing import telemetry_file_option, traced

_CHANGES: Final = frozenset({"publish", "validate", "promote", "rollback", "yank", "delete"})
"""Commands that are followed into the registry, and from there to pods."""


class _Models(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        del ctx
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """All of them are names and texts for the registry, or paths that are told in JSON."""
        return super().parse_args(ctx, [text(one) for one in args])


@click.group(cls=_Models)
@telemetry_file_option
@click.pass_context
def models(context: click.Context, telemetry_file: Path | None) -> None:
    """Publish versions of models, run them through the gates, promote them to channels.

    Names may be short: diarizer for models/diarizer, diarizer@1.2.0 for
    models/diarizer/versions/1.2.0, diarizer/stable for models/diarizer/channels/stable.

    Exit codes: 0 done; 1 failed, or a gate did not pass; 2 wrong usage; 3 a name, file or package
    is not usable; 4 no registry, or it is too busy; 5 not served, or not installed here; 6 not
    allowed as things are, or changed meanwhile; 7 not allowed for this caller; 130 interrupted
    by Ctrl-C, which is the normal end of watch: 0.
    """
    command = context.invoked_subcommand
    if command in _CHANGES:
        context.with_resource(traced(f"voiceflow.{command}", telemetry_file))


for _command in (
    *(pack, validate, sign, publish, list_, show, diff, promote, rollback, yank, delete),
    *(history, watch, download, policy, pods, compare, collect_garbage),
):
    models.add_command(_command)

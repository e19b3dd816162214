"""`voiceflow audit`: who did, or was refused, what."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime

import click

from voiceflow.catalog.audit import AuditEntry, AuditFilter
from voiceflow.cli.models.names import ANY, Name
from voiceflow.cli.models.session import call, registry_option
from voiceflow.cli.models.tables import audit_table
from voiceflow.cli.options import MAXIMUM_INT32, Target, as_past_moment, text
from voiceflow.cli.printing import as_data, json_option, out, print_json
from voiceflow.client.registry import RegistryClient


@click.command()
@click.option("--principal", type=text, default="", help="Only what this one did.", metavar="URI")
@click.option("--method", type=text, default="", help="Only these: PromoteVersion.")
@click.option(
    "--resource",
    type=ANY,
    help="Only what was about this, or below it: diarizer, diarizer@1.2.0 or diarizer/stable.",
)
@click.option(
    "--since",
    type=as_past_moment,
    metavar="TIME",
    help="Not before this time: 2026-05-01T12:00:00Z, or 30d or 12h ago.",
)
@click.option("--until", type=as_past_moment, metavar="TIME", help="Before this time.")
@click.option("--refused", "refused_only", is_flag=True, help="Only what was refused.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAXIMUM_INT32),
    default=100,
    show_default=True,
    help="At most so many.",
)
@registry_option
@json_option
def audit(
    principal: str,
    method: str,
    resource: Name | None,
    since: datetime | None,
    until: datetime | None,
    refused_only: bool,
    limit: int,
    registry: Target,
    as_json: bool,
) -> None:
    """List who did, or was refused, what in the registry, newest first.

    An outcome is `unknown` while a deed is under way, or if it was cut off: look at what it was
    about.
    """
    where = AuditFilter(
        principal=principal,
        method=method,
        resource=str(resource or ""),
        start_time=since,
        end_time=until,
        refused_only=refused_only,
    )

    async def act(client: RegistryClient) -> tuple[list[AuditEntry], bool]:
        found: list[AuditEntry] = []
        async with aclosing(client.audit(where)) as entries:
            async for entry in entries:
                if len(found) == limit:
                    return found, True
                found.append(entry)
        return found, False

    entries, more = call(registry, act)
    if as_json:
        print_json({"entries": [as_data(entry) for entry in entries], "more": more})
        return
    out().print(audit_table(entries) if entries else "no entries")
    if more:
        out().print(f"… and more; --limit is {limit}", highlight=False)

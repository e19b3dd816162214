"""`voiceflow audit` against the real registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.fakes.publishing import package
from tests.fakes.registry import call, failure, promotion, publish, running
from voiceflow.catalog.audit import OUTCOME_UNKNOWN, AuditEntry
from voiceflow.cli.commands import commands
from voiceflow.cli.models.tables import outcome_text
from voiceflow.cli.options import as_past_moment
from voiceflow.registry.v1 import registry_pb2 as pb

V100 = "models/tones/versions/1.0.0"
STABLE = "models/tones/channels/stable"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A registry where three things were done and one refused."""
    async with running() as (app, registry):
        await publish(registry, package())
        await call(registry.PromoteVersion, promotion(STABLE, V100))
        await failure(registry.DeleteVersion, pb.DeleteVersionRequest(name=V100))
        await call(registry.CollectGarbage, pb.CollectGarbageRequest())
        yield app.server.address


async def run(address: str, *arguments: str) -> Any:
    """The command to its end."""
    given = ["audit", "--registry", address, *arguments]
    return await asyncio.to_thread(CliRunner().invoke, commands, given, catch_exceptions=False)


async def methods(address: str, *arguments: str) -> list[str]:
    """What it tells of."""
    entries = json.loads((await run(address, *arguments, "--json")).stdout)["entries"]
    return [entry["method"] for entry in entries]


async def test_it_tells_who_did_what(address: str) -> None:
    """Newest first, one row each."""
    done = await run(address)
    assert done.exit_code == 0
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[:3] == ["When", "Who", "Did"]
    assert [row.split()[3] for row in rows] == [
        "CollectGarbage",
        "DeleteVersion",
        "PromoteVersion",
        "PublishVersion",
    ]
    assert rows[1].split()[4:] == ["tones@1.0.0", "VERSION_NOT_YANKED"]
    assert rows[2].split()[2:] == [
        "host:127.0.0.1",
        "PromoteVersion",
        "tones/stable",
        "done",
        "1.0.0",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--refused"], ["DeleteVersion"]),
        (["--method", "PromoteVersion"], ["PromoteVersion"]),
        (["--principal", "host:127.0.0.2"], []),
        (["--resource", "tones/stable"], ["PromoteVersion"]),
        (["--resource", "tones@1.0.0"], ["DeleteVersion", "PublishVersion"]),
        (["--resource", "tones"], ["DeleteVersion", "PromoteVersion", "PublishVersion"]),
        (["--since", "1h", "--method", "CollectGarbage"], ["CollectGarbage"]),
        (["--until", "1h"], []),
        (["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"], []),
        (["--limit", "2"], ["CollectGarbage", "DeleteVersion"]),
    ],
    ids=str,
)
async def test_options_narrow_it(address: str, arguments: list[str], expected: list[str]) -> None:
    """Names are written as elsewhere; spans are ago."""
    assert await methods(address, *arguments) == expected


async def test_it_says_where_there_is_more_or_nothing(address: str) -> None:
    """A limit that cuts something off is named."""
    assert "--limit is 1" in (await run(address, "--limit", "1")).stdout
    assert "--limit" not in (await run(address, "--limit", "4")).stdout
    assert (await run(address, "--until", "1h")).stdout == "no entries\n"


@pytest.mark.parametrize(
    "arguments", [["--since", "soon"], ["--limit", "0"], ["--resource", "a/b/c"], ["tones"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    """Before anything is dialled."""
    assert CliRunner().invoke(commands, ["audit", *arguments]).exit_code == 2


def test_spans_are_ago() -> None:
    """And times are times."""
    earliest = datetime.now(UTC)
    moment = as_past_moment("30d") + timedelta(days=30)
    assert earliest <= moment <= datetime.now(UTC)
    assert as_past_moment("2026-05-01T12:00:00Z") == datetime(2026, 5, 1, 12, tzinfo=UTC)
    with pytest.raises(click.BadParameter):
        as_past_moment("30")


@pytest.mark.parametrize(
    ("allowed", "reason", "word"),
    [(True, "", "done"), (True, OUTCOME_UNKNOWN, "unknown"), (False, "ETAG_STALE", "ETAG_STALE")],
)
def test_an_outcome_is_a_word(allowed: bool, reason: str, word: str) -> None:
    """Done, unknown, or why not."""
    entry = AuditEntry(
        name="auditEntries/1",
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
        principal="p",
        method="PromoteVersion",
        allowed=allowed,
        refusal_reason=reason,
    )
    assert outcome_text(entry).plain == word

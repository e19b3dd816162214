"""What others write moves nothing on the terminal of whoever reads it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from tests.unit.client.registry.scripted import (
    NOW,
    Script,
    answering,
    promotion,
    refusing,
)
from voiceflow.catalog.audit import AuditEntry
from voiceflow.catalog.channels import Rollout, VersionPin
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.cli.models.tables import audit_table
from voiceflow.cli.printing import PlainConsole, plain
from voiceflow.errors import NotAllowedNow, NotFound, Violation, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.registry import audit_entry_to_wire, promotion_to_wire

HOSTILE = "fine\x1b[2K\x1b[1A\x9b1A\x1b]0;owned\x07\r\n\u202e\u2028[red]x[/blue] :bomb: größer"
SEEN = "größer"

ENTRY = AuditEntry(
    name="auditEntries/1",
    create_time=NOW,
    principal=HOSTILE,
    method=HOSTILE,
    resource=HOSTILE,
    allowed=False,
    refusal_reason=HOSTILE,
)


def check(text: str) -> None:
    """All of it is seen, in lines of the command's own."""
    assert SEEN in text
    assert [one for one in text if not one.isprintable() and one != "\n"] == []


def test_a_text_is_shown_character_by_character() -> None:
    """Languages stay as they are; the rest is written as JSON does, so that JSON stays JSON."""
    assert plain("größer, 更大, ∞ \\ \"'") == "größer, 更大, ∞ \\ \"'"
    assert plain("a\x1b[2K\x9b\r\n\t\x7f\u202e\u2028\udc80") == (
        r"a\u001b[2K\u009b\r\n\t\u007f\u202e\u2028\udc80"
    )
    said = "\x9b\u202e\U000e0001"
    assert json.loads(plain(json.dumps(said, ensure_ascii=False))) == said


def test_a_table_shows_on_a_terminal_what_was_written() -> None:
    """Nor is any of it markup."""
    seen = io.StringIO()
    console = PlainConsole(file=seen, force_terminal=True, color_system=None, width=400)
    console.print(audit_table([ENTRY]))
    console.print(HOSTILE, highlight=False)
    check(seen.getvalue())
    assert seen.getvalue().count("[red]x[/blue] :bomb:") == 5


def test_an_error_is_shown_as_it_was_written() -> None:
    """The server's words, and those of what stands in the way."""
    plainly = VoiceFlowError(HOSTILE, reason=HOSTILE)
    listed = NotAllowedNow(
        HOSTILE, reason=HOSTILE, violations=[Violation(HOSTILE, HOSTILE, HOSTILE)]
    )
    for error, count in ((plainly, 1), (listed, 2)):
        lines = error_lines(error)
        check("\n".join(lines))
        assert len(lines) == count


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models", "history", "tones/stable"], 0),
        (["models", "history", "tones/stable", "--json"], 0),
        (["models", "watch", "tones/stable", "--after", "0", "--count", "1"], 0),
        (["models", "watch", "tones/stable", "--after", "0", "--count", "1", "--json"], 0),
        (["audit"], 0),
        (["audit", "--json"], 0),
        (["models", "show", "tones/stable"], 3),
    ],
    ids=str,
)
async def test_what_a_registry_tells_is_shown_as_it_was_written(
    address: str, arguments: list[str], code: int
) -> None:
    """Whoever wrote it: in tables, lines, JSON and errors."""
    given = [*arguments, "--registry", address]
    result = await asyncio.to_thread(CliRunner().invoke, commands, given)
    if isinstance(result.exception, VoiceFlowError):
        lines = error_lines(result.exception)
        assert exit_code(result.exception) == code
        check("\n".join(lines))
    else:
        assert result.exit_code == code, result
        check(result.stdout)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A registry that has nothing good to say."""
    version = VersionPin(version=f"models/tones/versions/{HOSTILE}")
    hostile = promotion(1).model_copy(
        update={"reason": HOSTILE, "principal": HOSTILE, "rollout": Rollout(primary=version)}
    )
    told = promotion_to_wire(hostile)

    async def watch(_request: Any, context: Any) -> None:
        await context.write(pb.WatchChannelsResponse(promotion=told))
        await asyncio.Event().wait()

    script = Script(
        ListChannelHistory=answering(pb.ListChannelHistoryResponse(promotions=[told])),
        WatchChannels=watch,
        ListAuditEntries=answering(
            pb.ListAuditEntriesResponse(entries=[audit_entry_to_wire(ENTRY)])
        ),
        GetChannel=refusing(NotFound(HOSTILE, reason="CHANNEL_NOT_FOUND")),
    )
    server = grpc.aio.server()
    pb_grpc.add_ModelRegistryServicer_to_server(script.servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)

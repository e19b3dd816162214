"""When a server tells whom that it leaves the service, or comes back."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.inference.test_admission import IDLE, LIMITS
from voiceflow.errors import Unavailable
from voiceflow_inference.admission import Admission
from voiceflow_inference.draining import Draining


class Told:
    """Keeps what the transport and the streams are told, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def set_serving(self, *, serving: bool) -> None:
        """By health."""
        self.words.append("serving" if serving else "not serving")

    async def renew_connections(self, age_seconds: float | None = None) -> None:
        """By GOAWAY."""
        self.words.append(f"connections of {age_seconds or 'any'} s")

    async def send_away(self, seconds: float) -> None:
        """By GoAway."""
        self.words.append(f"streams: go within {seconds:g} s")


@pytest.fixture
def told() -> Told:
    """Nothing yet."""
    return Told()


@pytest.fixture
def draining(told: Told) -> Draining:
    """Of a server in service."""
    return Draining(Admission(LIMITS, lambda: IDLE), lambda: told, told.send_away, 30.0)


async def test_connections_are_short_while_it_drains_and_only_then(
    draining: Draining, told: Told
) -> None:
    """Switching to what it is already tells nobody anything."""
    for _ in range(2):
        await draining.begin(None)
    assert told.words == ["not serving", "connections of 1.0 s"]
    for _ in range(2):
        await draining.end()
    assert told.words[2:] == ["serving", "connections of any s"]


async def test_the_end_of_the_server_tells_streams_once(draining: Draining, told: Told) -> None:
    """Deadlines of operators, set before or after, tell them no other time."""
    await draining.begin(0.0)
    await draining.end_server(7.0)
    await draining.begin(0.0)
    for _ in range(5):  # turns in which a deadline would have come
        await asyncio.sleep(0)
    assert [word for word in told.words if word.startswith("streams")] == ["streams: go within 7 s"]
    with pytest.raises(Unavailable, match="ends"):
        await draining.end()


async def test_a_deadline_that_has_come_tells_streams(draining: Draining, told: Told) -> None:
    """How long they have then is the server's grace period."""
    await draining.begin(0.0)
    while len(told.words) < 3:  # noqa: ASYNC110 a task of its own tells them
        await asyncio.sleep(0)
    assert told.words[-1] == "streams: go within 30 s"

"""Where the time of each hop of a stream goes, from its client's side: pure, the time is given.

A hop begins when its client builds the request that completes it, and ends when the client has
parsed the last of its replies. The server tells where the time went between reading that request
and sending that reply; the network has the rest of the time in between, so that no two clocks are
compared. What is on its way while the caller does not ask for events counts as network, too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from voiceflow.client.events import HopLatency, Timings

CLIENT_ENCODE: Final = "client encode"
NETWORK: Final = "network"
CLIENT_PARSE: Final = "client parse"


@dataclass(frozen=True, slots=True)
class HopClocks:
    """When a hop was where on its client's side, on a monotonic clock, in nanoseconds.

    Attributes:
        began_ns: The client began to build the request that completes it.
        encoded_ns: That was bytes.
        read_ns: The last of its replies had come, as bytes.
        parsed_ns: That was an event.
    """

    began_ns: int
    encoded_ns: int
    read_ns: int
    parsed_ns: int


class HopMeter:
    """Measures the hops of one stream."""

    def __init__(self) -> None:
        self._number = 0  # of the request sent last; the config is 0
        self._sent: deque[tuple[int, int, int]] = deque(maxlen=_REMEMBERED)
        self._update: tuple[int, int] | None = None

    def sent(self, began_ns: int, encoded_ns: int) -> None:
        """The next request was encoded, after the config."""
        self._number += 1
        self._sent.append((self._number, began_ns, encoded_ns))

    def updated(self, read_ns: int, parsed_ns: int) -> None:
        """An `Update` was parsed: the last reply of its hop before the timings."""
        self._update = read_ns, parsed_ns

    def clocks_of(self, timings: Timings) -> HopClocks | None:
        """Of the hop whose timings came just now; None: it is not known when it was sent."""
        while self._sent and self._sent[0][0] < timings.request:
            self._sent.popleft()
        if not self._sent or self._sent[0][0] != timings.request or self._update is None:
            return None
        _, began_ns, encoded_ns = self._sent[0]
        return HopClocks(began_ns, encoded_ns, *self._update)


def hop_latency(timings: Timings, clocks: HopClocks) -> HopLatency:
    """The whole way of a hop, out of its server's part and its client's.

    A server may notice that a reply was taken later than the client has read it, when its event
    loop is busy: so long it did not send.
    """
    away = (clocks.read_ns - clocks.encoded_ns) / 1e9
    server = dict(timings.stages)
    noticed_late = max(0.0, sum(server.values()) - away)
    if "send" in server:
        server["send"] = max(0.0, server["send"] - noticed_late)
    stages = (
        (CLIENT_ENCODE, (clocks.encoded_ns - clocks.began_ns) / 1e9),
        (NETWORK, max(0.0, away - sum(server.values()))),
        *server.items(),
        (CLIENT_PARSE, (clocks.parsed_ns - clocks.read_ns) / 1e9),
    )
    whole = (clocks.parsed_ns - clocks.began_ns) / 1e9
    return HopLatency(timings.audio_end_samples, stages, whole)


_REMEMBERED: Final = 10_000
"""Requests: a client sends no more than `ahead_seconds` of audio past what it has seen covered."""

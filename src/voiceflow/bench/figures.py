"""What a load comes to, from what its streams and calls have noted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

MAXIMUM_LAG_GROWTH_MILLISECONDS: Final = 10.0
"""Of a service that keeps up: what the median of latencies moves by chance."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of latencies, in milliseconds."""

    p50_milliseconds: float
    p95_milliseconds: float
    p99_milliseconds: float
    max_milliseconds: float


def percentiles(seconds: Iterable[float]) -> Percentiles | None:
    """Of latencies in seconds; None: there are none."""
    values = np.asarray(list(seconds)) * 1000
    if not len(values):
        return None
    return Percentiles(*(round(float(one), 2) for one in np.percentile(values, [50, 95, 99, 100])))


def lag_growth_milliseconds(streams: Iterable[Sequence[float]]) -> float | None:
    """What the median latency of the streams' last third has more than that of their first.

    A service that does not keep up falls further and further behind.

    Args:
        streams: Latencies of each, in seconds, in order.

    Returns:
        None: no stream has three.
    """
    thirds = [np.array_split(np.asarray(one), 3) for one in streams if len(one) >= 3]
    if not thirds:
        return None
    first, last = (np.median(np.concatenate([third[n] for third in thirds])) for n in (0, 2))
    return round(float(last - first) * 1000, 2)


@dataclass(slots=True)
class Heard:
    """What one stream has seen.

    Attributes:
        sent: When each message went out, on the event loop's clock.
        late: How long after its time each went out, in seconds.
        latencies: Compute latency of each hop in seconds, in order.
        failure: Reason of the error that ended it; empty: it ended with a complete Summary.
        admitted: Whether it began.
    """

    sent: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    failure: str = "UNFINISHED"
    admitted: bool = False


@dataclass(slots=True)
class Answered:
    """What one client has seen of its calls.

    Attributes:
        latencies: Of each that succeeded, in seconds.
        failures: Reason of each that did not.
    """

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a load has taken of this machine.

    Attributes:
        wall_seconds: That it lasted.
        cores: Of this machine.
        client_cpu_seconds: Processor time of the load generator.
        other_processes_percent: Share of the machine that neither it nor a server here used.
        server_cpu_seconds: Processor time of the server; None: it is not on this machine.
        server_resident_bytes: Largest memory of the server that was seen; None likewise.
        server_grown_bytes: How much that is above what it had before the load; None likewise.
    """

    wall_seconds: float
    cores: int
    client_cpu_seconds: float
    other_processes_percent: float
    server_cpu_seconds: float | None = None
    server_resident_bytes: int | None = None
    server_grown_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Of one load of live streams. A figure that there is none of is None.

    Attributes:
        streams: Asked for.
        seconds: Of audio in each.
        hops: Measured.
        latency: Compute latency of all hops: from sending the last byte that a hop needs to
            receiving the Update that covers it.
        lag_growth_milliseconds: See the function of this name.
        server_cpu_milliseconds: Processor time of the server for a second of one stream.
        server_resident_megabytes: Largest that was seen.
        server_resident_megabytes_per_stream: Growth by the load, over its streams.
        generator_cpu_milliseconds: Processor time of the load generator for a second of a stream.
        generator_late_p99_milliseconds: How late the load generator sent.
        other_processes_percent: Share of this machine that neither server nor generator used: a run
            with more than a few percent measures somebody else.
        refused: Streams that were not let in.
        failed: Streams that did not end with a complete Summary.
        reasons: How many streams were refused or failed for what.
    """

    streams: int
    seconds: float
    hops: int
    latency: Percentiles | None
    lag_growth_milliseconds: float | None
    server_cpu_milliseconds: float | None
    server_resident_megabytes: float | None
    server_resident_megabytes_per_stream: float | None
    generator_cpu_milliseconds: float
    generator_late_p99_milliseconds: float | None
    other_processes_percent: float
    refused: int
    failed: int
    reasons: Mapping[str, int]

    def holds(
        self,
        bound_milliseconds: float,
        growth_milliseconds: float = MAXIMUM_LAG_GROWTH_MILLISECONDS,
    ) -> bool:
        """Whether all streams were let in and served, in time, and without a growing lag.

        Args:
            bound_milliseconds: P99 of compute latency is below it.
            growth_milliseconds: And lag growth below this.
        """
        growth = self.lag_growth_milliseconds
        return (
            not self.refused
            and not self.failed
            and self.latency is not None
            and self.latency.p99_milliseconds < bound_milliseconds
            and (growth is None or growth < growth_milliseconds)
        )


def stream_figures(heard: Sequence[Heard], seconds: float, usage: Usage) -> StreamFigures:
    """What a run of live streams comes to.

    Args:
        heard: Of each stream.
        seconds: Of audio in each.
        usage: From the first to the last audio.
    """
    admitted = [stream for stream in heard if stream.admitted]
    spoken = max(1, len(admitted)) * seconds
    late = percentiles(one for stream in heard for one in stream.late)
    return StreamFigures(
        streams=len(heard),
        seconds=seconds,
        hops=sum(len(stream.latencies) for stream in heard),
        latency=percentiles(one for stream in heard for one in stream.latencies),
        lag_growth_milliseconds=lag_growth_milliseconds(stream.latencies for stream in heard),
        server_cpu_milliseconds=_per(usage.server_cpu_seconds, spoken / 1000, 3),
        server_resident_megabytes=_per(usage.server_resident_bytes, 1e6, 1),
        server_resident_megabytes_per_stream=_per(usage.server_grown_bytes, 1e6 * len(heard), 3),
        generator_cpu_milliseconds=round(1000 * usage.client_cpu_seconds / spoken, 3),
        generator_late_p99_milliseconds=late.p99_milliseconds if late else None,
        other_processes_percent=usage.other_processes_percent,
        refused=len(heard) - len(admitted),
        failed=sum(bool(stream.failure) for stream in admitted),
        reasons=_counted(stream.failure for stream in heard if stream.failure),
    )


@dataclass(frozen=True, slots=True)
class CallFigures:
    """Of one load of calls. A figure that there is none of is None.

    Attributes:
        clients: At the same time.
        calls: Made.
        succeeded: Of these.
        success_percent: Likewise.
        calls_per_second: That succeeded, from the first to the last answer.
        calls_per_second_accounted: What that would be if the machine had not had to run the
            clients, nor other processes: divided by the share of all processor time that they left.
            None: the calls were paced, or the server is not on this machine.
        calls_per_server_cpu_second: That succeeded, for a second of the server's processor time.
        latency: From when a call was due (paced) or begun (closed loop) to its answer.
        wall_seconds: From the first call to the last answer.
        server_cpu_seconds: Processor time of the server.
        client_cpu_seconds: Processor time of all clients.
        other_processes_percent: As with `StreamFigures`.
        reasons: How many calls failed for what.
    """

    clients: int
    calls: int
    succeeded: int
    success_percent: float
    calls_per_second: float
    calls_per_second_accounted: float | None
    calls_per_server_cpu_second: float | None
    latency: Percentiles | None
    wall_seconds: float
    server_cpu_seconds: float | None
    client_cpu_seconds: float
    other_processes_percent: float
    reasons: Mapping[str, int]


def call_figures(answered: Sequence[Answered], usage: Usage, *, paced: bool) -> CallFigures:
    """What a run of calls comes to.

    Args:
        answered: Of each client.
        usage: From the first call to the last answer.
        paced: Whether calls had their times, so that there were no more of them than that.
    """
    succeeded = sum(len(one.latencies) for one in answered)
    failures = [reason for one in answered for reason in one.failures]
    calls = succeeded + len(failures)
    rate = succeeded / usage.wall_seconds
    server = usage.server_cpu_seconds
    accounted = None if paced or server is None else round(rate / left_share(usage), 2)
    return CallFigures(
        clients=len(answered),
        calls=calls,
        succeeded=succeeded,
        success_percent=round(100 * succeeded / max(1, calls), 2),
        calls_per_second=round(rate, 2),
        calls_per_second_accounted=accounted,
        calls_per_server_cpu_second=_per(succeeded, server, 2) if server else None,
        latency=percentiles(one for client in answered for one in client.latencies),
        wall_seconds=round(usage.wall_seconds, 3),
        server_cpu_seconds=None if server is None else round(server, 3),
        client_cpu_seconds=round(usage.client_cpu_seconds, 3),
        other_processes_percent=usage.other_processes_percent,
        reasons=_counted(failures),
    )


def left_share(usage: Usage) -> float:
    """Share of all processor time that clients and other processes have left to a server here."""
    clients = usage.client_cpu_seconds / (usage.wall_seconds * usage.cores)
    return max(0.01, 1.0 - clients - usage.other_processes_percent / 100)


def _per(amount: float | None, of: float | None, digits: int) -> float | None:
    return None if amount is None or not of else round(amount / of, digits)


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))

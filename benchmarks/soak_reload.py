"""Versions change under streams that go on: many swaps, every stream compared, memory measured.

    python -m benchmarks.soak_reload [--swaps 500] [--streams 100] [--json PATH]

A server serves the highest version of a folder. Version after version is dropped into it, in turn
the model as it is, the same in another file (streams are carried over), other weights whose vectors
mean the same (streams are replayed), and vectors that mean other things (streams are told to go and
resume). Meanwhile streams of different conversations go on at the pace of speech. The next version
comes when all streams have come to the last one.

What is told of every conversation is compared with what the pipeline alone says on the way that it
took. A run in which a stream was dropped, audio was lost or a label differs, or after which the
server holds over 5 % more memory than after the tenth swap, ends with status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.arguments import count
from benchmarks.artefacts import Shelf
from benchmarks.audio import pcm16, talk
from benchmarks.callers import Call, hold_on
from benchmarks.machine import Processors
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_service
from benchmarks.soak_figures import Figures, Seen, figures, table
from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client import DiarizationClient, RetryPolicy, ServingState
from voiceflow.package import load_package

_RESUME_CONTEXT_SECONDS = 10.0
"""Streams are told to go every few seconds; hearing 30 s again would be most of the work."""

_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.2
_STREAMS_PER_CONNECTION = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What the server goes through.

    Attributes:
        swaps: Versions after the first.
        streams: At the same time.
        conversation_seconds: Of audio in each conversation.
        rest_seconds: Between all streams having come to a version and the next one.
    """

    swaps: int
    streams: int
    conversation_seconds: float
    rest_seconds: float

    def in_words(self, talk: str) -> str:
        """What is done, of which talk."""
        return (
            f"{self.streams} live streams in density mode, conversations of"
            f" {self.conversation_seconds:g} s, {talk}; {self.swaps} swaps in turn to another file"
            " of the same model, to other weights in its embedding space, to another embedding"
            " space and back; server and load generator on the same cores."
        )


async def soak(service: Service, shelf: Shelf, plan: Plan, audio: bytes) -> tuple[list[Call], Seen]:
    """Streams, and version after version."""
    calls: list[Call] = []
    ending = asyncio.Event()
    conversations = _conversations(plan, audio)
    speaking = [
        asyncio.create_task(_callers(service, conversations, first, calls, ending))
        for first in range(0, plan.streams, _STREAMS_PER_CONNECTION)
    ]
    try:
        seen = await _swap(service, shelf, plan)
    finally:
        ending.set()
        await asyncio.gather(*speaking)
    return calls, seen


async def _swap(service: Service, shelf: Shelf, plan: Plan) -> Seen:
    loop = asyncio.get_running_loop()
    seen = Seen([], [])
    async with DiarizationClient(service.address) as operator:
        await _until(operator, lambda state: state.streams >= plan.streams)
        # By then conversations of all ages go on.
        await asyncio.sleep(plan.conversation_seconds)
        taking_part = (os.getpid(), service.process.pid)
        seen.began, used = loop.time(), Processors.now(taking_part)
        for number in range(plan.swaps):
            start = loop.time()
            name = shelf.add()
            await _until(operator, partial(_all_on, name, plan.streams))
            seen.swap_seconds.append(loop.time() - start)
            await _until(operator, partial(_alone, name))
            seen.resident_bytes.append(await _at_rest(service, plan.rest_seconds))
            if (number + 1) % 10 == 0:
                _say(number + 1, seen)
        seen.ended = loop.time()
        seen.others_percent = Processors.now(taking_part).others_percent(used)
    return seen


async def _at_rest(service: Service, seconds: float) -> int:
    """The least memory within a while: what was replaced is given back, hops take turns."""
    loop = asyncio.get_running_loop()
    end, least = loop.time() + seconds, service.resident_bytes()
    while loop.time() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        least = min(least, service.resident_bytes())
    return least


def _all_on(name: str, streams: int, state: ServingState) -> bool:
    """Whether a version serves, and no other has streams."""
    on = {one.model_version: one.streams for one in state.generations if one.streams}
    active = {one.model_version for one in state.generations if one.state == "active"}
    # A stream that resumes is between two for a moment.
    return name in active and set(on) <= {name} and sum(on.values()) >= 0.9 * streams


def _alone(name: str, state: ServingState) -> bool:
    """Whether no other version is loaded any more."""
    return {one.model_version for one in state.generations} == {name}


async def _until(operator: DiarizationClient, holds: Callable[[ServingState], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not holds(await operator.serving_state()):  # noqa: ASYNC110 another process
            await asyncio.sleep(_LOOK_SECONDS)


def _say(number: int, seen: Seen) -> None:
    seconds = sum(seen.swap_seconds[-10:]) / 10
    print(
        f"{number} swaps, the last ten took {seconds:.1f} s each;"
        f" {seen.resident_bytes[-1] / 1e6:.0f} MB",
        file=sys.stderr,
        flush=True,
    )


def _conversations(plan: Plan, audio: bytes) -> list[bytes]:
    """As many as there are streams, which hold them in turn: so memory is bounded."""
    size = round(plan.conversation_seconds * SAMPLE_RATE_HERTZ) * 2
    step = (len(audio) - size) // plan.streams // 2 * 2
    return [audio[number * step : number * step + size] for number in range(plan.streams)]


async def _callers(
    service: Service,
    conversations: Sequence[bytes],
    first: int,
    calls: list[Call],
    ending: asyncio.Event,
) -> None:
    """Callers that share a connection."""
    async with DiarizationClient(service.address, retry=RetryPolicy(attempts=20)) as client:
        streams = len(conversations)

        async def speak(number: int) -> None:
            def audio(turn: int) -> bytes:
                whole = conversations[(number + turn) % streams]
                if turn:
                    return whole
                # The first ones are of all lengths, so that not all end at once.
                return whole[: len(whole) * (number + 1) // streams // 2 * 2]

            await hold_on(client, audio, calls, ending)

        last = min(first + _STREAMS_PER_CONNECTION, streams)
        await asyncio.gather(*(speak(number) for number in range(first, last)))


def run(plan: Plan, base: Path, audio: bytes, processes: int) -> Figures:
    """One soak, from nothing to its figures."""
    with tempfile.TemporaryDirectory() as name:
        shelf = Shelf(Path(name), base)
        shelf.add()
        settings: dict[str, float | str | Path] = {
            "streams": 20 * plan.streams,
            "streams_per_principal": 20 * plan.streams,
            "admission_lag_seconds": 1e6,
            "admission_real_time_factor": 1.0,
            # Streams leave what is replaced at once, and nothing is kept to go back to.
            "drain_deadline_seconds": 0.01,
            "keep_seconds": 0,
            "resume_context_seconds": _RESUME_CONTEXT_SECONDS,
            "state_dir": Path(name) / "state",
            "cache_dir": Path(name) / "cache",
            "log_level": "warning",
        }
        with running_service(shelf.folder, **settings) as service:
            calls, seen = asyncio.run(soak(service, shelf, plan, audio))
            sys.stderr.write(service.log.read_text())
        return figures(
            calls,
            seen,
            shelf,
            resume_context_seconds=_RESUME_CONTEXT_SECONDS,
            processes=processes,
        )


def main() -> int:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--swaps", type=count, default=500)
    parser.add_argument("--streams", type=count, default=100)
    parser.add_argument("--conversation-seconds", type=float, default=120.0)
    parser.add_argument("--rest-seconds", type=float, default=1.0)
    parser.add_argument("--processes", type=count, default=2, help="that compare, at the end")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    plan = Plan(
        swaps=arguments.swaps,
        streams=arguments.streams,
        conversation_seconds=arguments.conversation_seconds,
        rest_seconds=arguments.rest_seconds,
    )
    samples, what = talk(1800.0)
    found = run(plan, arguments.model, pcm16(samples), arguments.processes)
    origin = provenance(load_package(arguments.model), 1)
    text = table(plan.in_words(what), origin, found)
    print(text)
    if arguments.json:
        report = {
            "provenance": asdict(origin),
            "plan": asdict(plan) | {"audio": what},
            "figures": asdict(found),
        }
        write_report(arguments.json, report, text)
    for fault in found.faults():
        sys.stderr.write(f"{fault}\n")
    return 1 if found.faults() else 0


if __name__ == "__main__":
    sys.exit(main())

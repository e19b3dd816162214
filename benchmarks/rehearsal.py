"""A blue/green switch on one machine: registry, two servers, HAProxy, and callers who do not stop.

    python -m benchmarks.rehearsal [--mode http|tcp] [--callers 16] [--json PATH]

Blue serves one version and green the next, each from its channel of a registry. Callers speak at
the pace of speech through HAProxy, several on each connection, one conversation after another.
Then everything new is switched to green and blue is drained; then it is rolled back: everything new
goes to blue again and green is drained. In mode http HAProxy sends each call where the switch
points; in mode tcp it sends connections, as a Kubernetes Service does.

What is told of every conversation is compared with what the pipeline alone says on the way that it
took. A run in which a stream was dropped, audio was lost, a label differs, a stream began on the
drained side 5 s after the switch, or the P99 of latency rose by more than a fifth, ends with
status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.arguments import count
from benchmarks.artefacts import Artefact, make
from benchmarks.audio import pcm16, talk
from benchmarks.balancer import Balancer, HaproxyMissingError, Mode, balancing, haproxy
from benchmarks.callers import Call, hold_on, latencies_between
from benchmarks.goldens import Models, expected_regions
from benchmarks.machine import Processors
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service
from benchmarks.stage import Side, known_as, stage
from benchmarks.zeros import not_zero
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.client import DiarizationClient, RetryPolicy
from voiceflow.onnx import bind
from voiceflow.package import ModelPackage, load_package

SWITCHED_SECONDS = 5.0
"""After it no new stream may begin on the side that was switched away from."""

ALLOWED_P99_RATIO = 1.2
_BYTES_PER_SECOND = 2 * SAMPLE_RATE_HERTZ
_EMPTY_WITHIN_SECONDS = 300.0
_VERSIONS = {"blue": "1.0.1", "green": "1.1.0"}
_ARTEFACTS = {"blue": Artefact.ORIGINAL, "green": Artefact.SAME_VOICES}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rehearsed, in seconds where nothing else is said.

    Attributes:
        callers: At the same time.
        callers_per_connection: They share a client, and so a connection.
        conversation_seconds: Of audio in each conversation.
        settle_seconds: Before anything counts.
        before_seconds: Then, until the switch.
        turn_seconds: From the switch to the roll back, and as long after it.
        deadline_seconds: After a drain begins until live streams are told to go.
        after_seconds: At the end.
    """

    callers: int
    callers_per_connection: int
    conversation_seconds: float
    settle_seconds: float
    before_seconds: float
    turn_seconds: float
    deadline_seconds: float
    after_seconds: float


@dataclass(frozen=True, slots=True)
class Moments:
    """When what happened, on the event loop's clock; and what others used of the machine."""

    settled: float
    switched: float
    blue_empty: float
    rolled_back: float
    green_empty: float
    ended: float
    others_percent: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one rehearsal.

    Attributes:
        conversations: Held.
        streams_dropped: Conversations that did not end with a complete Summary.
        audio_lost_milliseconds: That no final region tells of, or that two do.
        labels_broken: Conversations told otherwise than the pipeline alone says.
        late_streams_on_blue: Begun on blue later than 5 s after the switch.
        late_streams_on_green: Begun on green later than 5 s after the roll back.
        resumed: Streams that went on in the other server.
        blue_drained_seconds: From the switch until blue had no stream.
        green_drained_seconds: From the roll back until green had none.
        p99_before_milliseconds: From the last sample of a hop until its result is there.
        p99_during_milliseconds: Likewise, from the switch until the roll back is done.
        p99_after_milliseconds: Likewise.
        p99_ratio: During to before.
        other_processes_percent: Share of the machine that went to processes that take no part: with
            more than a few percent, latencies are somebody else's.
        reasons: Why streams were dropped, each once.
    """

    conversations: int
    streams_dropped: int
    audio_lost_milliseconds: float
    labels_broken: int
    late_streams_on_blue: int
    late_streams_on_green: int
    resumed: int
    blue_drained_seconds: float
    green_drained_seconds: float
    p99_before_milliseconds: float
    p99_during_milliseconds: float
    p99_after_milliseconds: float
    p99_ratio: float
    other_processes_percent: float
    reasons: tuple[str, ...]

    def faults(self) -> list[str]:
        """What may not be; empty: it went as it should."""
        zeros = (
            "streams_dropped",
            "audio_lost_milliseconds",
            "labels_broken",
            "late_streams_on_blue",
            "late_streams_on_green",
        )
        found = not_zero(self, zeros)
        if self.p99_ratio > ALLOWED_P99_RATIO:
            found.append(f"P99 during / before: {self.p99_ratio}")
        return found


async def rehearse(
    balancer: Balancer, services: Mapping[str, Service], identity: Path, plan: Plan, audio: bytes
) -> tuple[list[Call], Moments]:
    """Callers, the switch, and the roll back."""
    async with AsyncExitStack() as stack:
        sides = [
            Side(
                colour,
                service,
                await stack.enter_async_context(
                    DiarizationClient(service.address, identity=known_as("operator", identity))
                ),
            )
            for colour, service in services.items()
        ]
        calls: list[Call] = []
        ending = asyncio.Event()
        speaking = [
            asyncio.create_task(
                _callers(balancer.address, identity, plan, audio, first, calls, ending)
            )
            for first in range(0, plan.callers, plan.callers_per_connection)
        ]
        try:
            moments = await _act(balancer, sides[0], sides[1], plan)
        finally:
            ending.set()
            await asyncio.gather(*speaking)
    return calls, moments


async def _act(balancer: Balancer, blue: Side, green: Side, plan: Plan) -> Moments:
    taking_part = (os.getpid(), balancer.process, blue.process, green.process)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(plan.settle_seconds)
    settled, used = loop.time(), Processors.now(taking_part)
    await asyncio.sleep(plan.before_seconds)

    switched = loop.time()
    balancer.switch(green.name)
    await blue.leave(plan.deadline_seconds)
    blue_empty = await blue.empty()
    await asyncio.sleep(max(0.0, switched + plan.turn_seconds - loop.time()))

    rolled_back = loop.time()
    await blue.come_back()
    balancer.switch(blue.name)
    await green.leave(plan.deadline_seconds)
    green_empty = await green.empty()
    await asyncio.sleep(max(0.0, rolled_back + plan.turn_seconds - loop.time()))

    await asyncio.sleep(plan.after_seconds)
    others = Processors.now(taking_part).others_percent(used)
    return Moments(settled, switched, blue_empty, rolled_back, green_empty, loop.time(), others)


async def _callers(
    address: str,
    identity: Path,
    plan: Plan,
    audio: bytes,
    first: int,
    calls: list[Call],
    ending: asyncio.Event,
) -> None:
    """Callers that share a connection."""
    patience = RetryPolicy(attempts=20)
    caller = known_as("client", identity)
    async with DiarizationClient(address, identity=caller, retry=patience) as client:

        async def speak(number: int) -> None:
            size = round(plan.conversation_seconds * SAMPLE_RATE_HERTZ) * 2
            # Spread, so that not all begin and end at once.
            await asyncio.sleep(plan.conversation_seconds * number / plan.callers)

            def part(turn: int) -> bytes:
                start = (number + plan.callers * turn) * size % (len(audio) - size) // 2 * 2
                return audio[start : start + size]

            await hold_on(client, part, calls, ending)

        last = min(first + plan.callers_per_connection, plan.callers)
        await asyncio.gather(*(speak(number) for number in range(first, last)))


def figures(
    calls: Sequence[Call], moments: Moments, plan: Plan, versions: Mapping[str, str], models: Models
) -> Figures:
    """What a rehearsal comes to.

    Args:
        calls: All of them.
        moments: When what happened.
        plan: What was rehearsed.
        versions: That each side served, by name.
        models: Of both.
    """
    done = [call for call in calls if not call.failure]
    broken = sum(not _as_expected(call, models) for call in done)
    done_by = moments.rolled_back + plan.turn_seconds
    spans = {
        "before": (moments.settled, moments.switched),
        "during": (moments.switched, done_by),
        "after": (done_by, moments.ended),
    }
    p99 = {
        name: float(np.percentile(latencies_between(calls, *span), 99)) * 1000
        for name, span in spans.items()
    }

    def begun(colour: str, start: float, end: float) -> int:
        return sum(
            version == versions[colour] and start <= at < end
            for call in calls
            for at, version in call.openings
        )

    return Figures(
        conversations=len(calls),
        streams_dropped=len(calls) - len(done),
        audio_lost_milliseconds=sum(call.lost_samples() for call in done)
        * 1000
        / SAMPLE_RATE_HERTZ,
        labels_broken=broken,
        late_streams_on_blue=begun(
            "blue", moments.switched + SWITCHED_SECONDS, moments.rolled_back
        ),
        late_streams_on_green=begun("green", moments.rolled_back + SWITCHED_SECONDS, float("inf")),
        resumed=sum(len(call.openings) - 1 for call in calls if call.openings),
        blue_drained_seconds=round(moments.blue_empty - moments.switched, 2),
        green_drained_seconds=round(moments.green_empty - moments.rolled_back, 2),
        p99_before_milliseconds=round(p99["before"], 2),
        p99_during_milliseconds=round(p99["during"], 2),
        p99_after_milliseconds=round(p99["after"], 2),
        p99_ratio=round(p99["during"] / p99["before"], 3),
        other_processes_percent=moments.others_percent,
        reasons=tuple(sorted({call.failure for call in calls} - {""})),
    )


def _as_expected(call: Call, models: Models) -> bool:
    try:
        expected = expected_regions(
            call.audio, call.first_version, call.way, models, LatencyMode.DENSITY
        )
    except ValueError:
        return False
    return expected == call.partition()


def run(mode: Mode, plan: Plan, base: Path, audio: bytes) -> Figures:
    """One rehearsal, from nothing to its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packages = {
            colour: make(_ARTEFACTS[colour], version, folder / colour, base)
            for colour, version in _VERSIONS.items()
        }
        models = {colour: bind(load_package(package)) for colour, package in packages.items()}
        with stage(packages, folder) as (services, identity):
            addresses = {colour: service.address for colour, service in services.items()}
            with balancing(mode, addresses, identity) as balancer:
                calls, moments = asyncio.run(rehearse(balancer, services, identity, plan, audio))
        versions = {colour: model.manifest.resource_name for colour, model in models.items()}
        by_name = {model.manifest.resource_name: model for model in models.values()}
        return figures(calls, moments, plan, versions, by_name)


def table(package: ModelPackage, plan: Plan, what: str, runs: Mapping[Mode, Figures]) -> str:
    """All of it for people, as Markdown."""
    names = [name for name in asdict(next(iter(runs.values()))) if name != "reasons"]
    asked = (
        f"{plan.callers} callers, {plan.callers_per_connection} on each connection, conversations"
        f" of {plan.conversation_seconds:g} s, {what}; blue, green, HAProxy, registry and callers"
        " on the same cores."
    )
    lines = [
        asked,
        "",
        f"{provenance(package, 1)}",
        "",
        "| |" + "".join(f" mode {mode} |" for mode in runs),
        "|---|" + "---:|" * len(runs),
    ]
    for name in names:
        values = "".join(f" {getattr(one, name):g} |" for one in runs.values())
        lines.append(f"| {name.replace('_', ' ')} |{values}")
    reasons = sorted({reason for one in runs.values() for reason in one.reasons})
    return "\n".join([*lines, *([f"\nDropped with: {'; '.join(reasons)}"] if reasons else [])])


def main() -> int:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", type=Mode, choices=list(Mode), help="only this one [both]")
    parser.add_argument("--callers", type=count, default=16)
    parser.add_argument("--conversation-seconds", type=float, default=30.0)
    parser.add_argument("--turn-seconds", type=float, default=30.0)
    parser.add_argument("--before-seconds", type=float, default=30.0)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    try:
        haproxy()
    except HaproxyMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    plan = Plan(
        callers=arguments.callers,
        callers_per_connection=4,
        conversation_seconds=arguments.conversation_seconds,
        settle_seconds=arguments.conversation_seconds,
        before_seconds=arguments.before_seconds,
        turn_seconds=arguments.turn_seconds,
        deadline_seconds=arguments.conversation_seconds / 3,
        after_seconds=arguments.before_seconds / 2,
    )
    samples, what = talk(600.0)
    audio = pcm16(samples)
    modes = [arguments.mode] if arguments.mode else list(Mode)
    runs = {mode: run(mode, plan, arguments.model, audio) for mode in modes}
    package = load_package(arguments.model)
    text = table(package, plan, what, runs)
    print(text)
    if arguments.json:
        report = {
            "provenance": asdict(provenance(package, 1)),
            "plan": asdict(plan) | {"audio": what},
            "runs": {str(mode): asdict(one) for mode, one in runs.items()},
        }
        write_report(arguments.json, report, text)
    faults = [f"mode {mode}: {fault}" for mode, one in runs.items() for fault in one.faults()]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""How soon a pod leaves a canary that goes wrong, and that it does not leave a good one.

    python -m benchmarks.canary [--runs 5] [--good-runs 20] [--json PATH]

The service runs inside this process and serves the default model as primary; the canary is the
same model with a planted fault. Half of the streams are the canary's, as many as a row says, all in
agent mode and as fast as they go; when they end, others begin, until the canary is left. NaN,
errors and a call that does not come back set in after 50 hops that came out well, those computed
beside the primary's included, and hops count from 50; a canary that is 30 % slower is so from the
start. Hops are what the canary had computed or tried when it was left, whoever computed them anew.
The rules are those of a pod whose channel has no policy; a call may take a second.

A stream is lost that did not end with a complete Summary, was told to go, or whose final turns are
not those of the model alone.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from tests.fakes.faulty import Fault, Faulty
from tests.fakes.rollouts import Pod, pin, serving, sessions
from tests.fakes.service import FINISH, audio, config, diarize
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.catalog.channels import Canary, Role, Rollout
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.onnx import bind
from voiceflow.package import ModelPackage, load_package
from voiceflow.pipeline import offline
from voiceflow.pipeline.model import BoundModel, FloatArray
from voiceflow_inference.serving.judge import DEFAULT_RULES

_GOOD_HOPS = 50
_RULES = DEFAULT_RULES.model_copy(update={"hang_after_seconds": 1.0})
_STREAM_SECONDS = 20.0
_MESSAGE_BYTES = 6400
_LARGEST_RUN_HOPS = 50_000
_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is planted, and how many streams the canary has at once."""

    fault: Fault
    streams: int

    @property
    def after_hops(self) -> int:
        """Hops that come out well."""
        return 0 if self.fault in {Fault.NONE, Fault.SLOW} else _GOOD_HOPS


@dataclass(frozen=True, slots=True)
class Run:
    """One rollout.

    Attributes:
        cause: Why the canary was left; empty: it was not.
        hops: That it had computed in all.
        hops_of_fault: Of these, since the fault had set in.
        seconds: That took.
        streams: In all, the primary's included.
        moved: Of these, from the canary to the primary.
        lost: See above.
    """

    cause: str
    hops: int
    hops_of_fault: int
    seconds: float
    streams: int
    moved: int
    lost: int


class Talk:
    """What every stream says, and what must come of it."""

    def __init__(self, model: BoundModel) -> None:
        samples, self.what = talk(_STREAM_SECONDS)
        self.data = pcm16(samples)
        heard: FloatArray = (np.frombuffer(self.data, "<i2") / np.float32(32768)).astype(np.float32)
        self.turns = [
            (turn.speaker, turn.start_samples, turn.end_samples)
            for result in offline.diarize(model, heard, mode=LatencyMode.AGENT)
            for turn in result.turns_final
        ]

    async def stream(self, pod: Pod, session: str) -> list[pb.DiarizeResponse]:
        """One whole stream."""
        data = self.data
        pieces = [
            audio(data[start : start + _MESSAGE_BYTES])
            for start in range(0, len(data), _MESSAGE_BYTES)
        ]
        first = config(session=session, latency_mode=pb.LATENCY_MODE_AGENT)
        return await diarize(pod.address, [first, *pieces, FINISH])

    def is_lost(self, replies: list[pb.DiarizeResponse]) -> bool:
        """Whether a stream did not get what it would have got of the model alone."""
        turns = [
            (turn.speaker, _samples(turn.start.ToNanoseconds()), _samples(turn.end.ToNanoseconds()))
            for reply in replies
            for turn in reply.update.turns
            if turn.final
        ]
        told_to_go = any(reply.HasField("go_away") for reply in replies)
        return told_to_go or not replies[-1].summary.complete or turns != self.turns


def _samples(nanoseconds: int) -> int:
    return round(nanoseconds * SAMPLE_RATE_HERTZ / 10**9)


async def run(case: Case, package: ModelPackage, said: Talk, least_hops: int) -> Run:
    """One rollout, until the canary is left; a good one, until it has computed so many hops."""
    primary = Faulty(bind(package))
    canary = Faulty(bind(package), case.fault, after_hops=case.after_hops, version="1.1.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
    names = {role: sessions(rollout, role) for role in (Role.CANARY, Role.PRIMARY)}
    settings = {"batch_limit": 16, "patience_seconds": _PATIENCE_SECONDS}
    heard: list[list[pb.DiarizeResponse]] = []
    async with serving([primary, canary], rollout, _RULES, **settings) as pod:
        tally = pod.app.manager.place(next(names[Role.CANARY])).generation.tally

        async def group(*roles: Role) -> None:
            chosen = [n for role in roles for n in itertools.islice(names[role], case.streams)]
            heard.extend(await asyncio.gather(*(said.stream(pod, name) for name in chosen)))

        await group(Role.PRIMARY)  # what it does must be known to compare with
        canary.arm()
        began = time.perf_counter()
        most = least_hops if case.fault is Fault.NONE else _LARGEST_RUN_HOPS
        while not pod.reverts() and tally.counts.hops < most:
            await group(Role.CANARY, Role.PRIMARY)
        seconds = time.perf_counter() - began
        reverts = pod.reverts()
        hops = reverts[0].hops if reverts else tally.counts.hops
        return Run(
            cause=reverts[0].cause.value if reverts else "",
            hops=hops,
            hops_of_fault=max(0, hops - case.after_hops),
            seconds=round(seconds, 1),
            streams=len(heard),
            moved=sum(any(reply.HasField("moved") for reply in replies) for replies in heard),
            lost=sum(said.is_lost(replies) for replies in heard),
        )


def report(package: ModelPackage, cases: dict[Case, list[Run]], what: str) -> dict[str, object]:
    """All that is published."""
    return {
        "provenance": asdict(provenance(package, sum(map(len, cases.values())))),
        "audio": f"{_STREAM_SECONDS:g} s a stream, {what}",
        "rules": _RULES.model_dump(exclude_none=True),
        "cases": [
            {"fault": case.fault.value, "canary_streams": case.streams}
            | {"runs": [asdict(one) for one in runs]}
            for case, runs in cases.items()
        ],
    }


def table(package: ModelPackage, cases: dict[Case, list[Run]], what: str) -> str:
    """The same for people, as Markdown."""
    asked = (
        f"Canaries at 50 %, streams of {_STREAM_SECONDS:g} s as fast as they go, {what}; hops until"
        " the canary was left, median and most."
    )
    lines = [
        asked,
        "",
        f"{provenance(package, sum(map(len, cases.values())))}",
        "",
        "| planted | its streams | runs | left | cause | hops | most | streams | moved | lost |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for case, runs in cases.items():
        hops = [one.hops_of_fault for one in runs]
        left = [one for one in runs if one.cause]
        until = f"{statistics.median(hops):g} | {max(hops)}"
        lines.append(
            f"| {_PLANTED[case.fault]} | {case.streams} | {len(runs)} | {len(left)} "
            f"| {', '.join(sorted({one.cause for one in left})) or '-'} | {until} "
            f"| {sum(one.streams for one in runs)} | {sum(one.moved for one in runs)} "
            f"| {sum(one.lost for one in runs)} |"
        )
    return "\n".join(lines)


_PLANTED = {
    Fault.NAN: "NaN",
    Fault.HANG: "a call that does not come back",
    Fault.ERRORS: "errors",
    Fault.SLOW: "30 % slower",
    Fault.NONE: "nothing",
}


def main() -> None:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=count, default=5, help="of each fault")
    parser.add_argument("--good-runs", type=count, default=20)
    parser.add_argument("--good-hops", type=count, default=3000, help="of each good canary")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    package = load_package(arguments.model)
    said = Talk(bind(package))
    planted = [fault for fault in Fault if fault is not Fault.NONE]
    numbers = {Case(fault, streams): arguments.runs for fault in planted for streams in (1, 8)}
    numbers[Case(Fault.NONE, 8)] = arguments.good_runs
    cases = {
        case: [asyncio.run(run(case, package, said, arguments.good_hops)) for _ in range(number)]
        for case, number in numbers.items()
    }
    text = table(package, cases, said.what)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, cases, said.what), text)


if __name__ == "__main__":
    main()

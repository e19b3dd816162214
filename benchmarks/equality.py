"""Whether ten minutes have one diarization, however they are sent and whoever else is served.

    python -m benchmarks.equality [--minutes 10] [--mode agent] [--one-sample] [--json PATH]

Sends the same μ-law audio (16 kHz, a byte a sample) to the service with the default model in every
way, and compares the final regions and turns, each message serialised, with what it is told of the
audio sent alone, in messages of a minute. `--one-sample` sends a message a sample as well: 9.6
million of them for ten minutes, which takes a while. Ends with status 1 at a difference.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.audio import talk
from benchmarks.finals import Finals, cut, file_finals, stream_finals
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance
from benchmarks.service import running_service
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.package import load_package
from voiceflow.pipeline.model import FloatArray

_MODES = {
    LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY,
    LatencyMode.AGENT: pb.LATENCY_MODE_AGENT,
}
_SECOND = SAMPLE_RATE_HERTZ
_MINUTE = 60 * _SECOND
_OTHERS = 31


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way of sending, and whether it gave the same bytes."""

    mode: LatencyMode
    sent: str
    regions: int
    turns: int
    equal: bool


def mulaw(samples: FloatArray) -> bytes:
    """G.711 μ-law, a byte a sample."""
    magnitude = np.clip(np.abs(samples) * 32768, 0, 32635).astype(np.int64) + 132
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    step = magnitude >> segment + 3 & 15
    sign = np.where(samples < 0, 128, 0)
    return bytes((~(sign | segment << 4 | step) & 255).astype(np.uint8).data)


async def compare(
    address: str, data: bytes, modes: Sequence[LatencyMode], *, one_sample: bool
) -> AsyncGenerator[Comparison, None]:
    """Sends the audio in every way."""
    options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        for mode in modes:
            audio_format = pb.AudioFormat(
                encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hertz=SAMPLE_RATE_HERTZ
            )
            config = pb.StreamConfig(audio_format=audio_format, latency_mode=_MODES[mode])
            alone = await stream_finals(channel, config, cut(data, _MINUTE))

            def judged(
                sent: str, seen: Finals, wanted: Finals, mode: LatencyMode = mode
            ) -> Comparison:
                return Comparison(mode, sent, len(seen.regions), len(seen.turns), seen == wanted)

            yield judged("alone, messages of a minute", alone, alone)
            tenths = await stream_finals(channel, config, cut(data, _SECOND // 10))
            yield judged("alone, messages of 100 ms", tenths, alone)
            odd = await stream_finals(channel, config, _uneven(data))
            yield judged("alone, messages of 1 to 65,536 samples", odd, alone)
            among = await _among_others(channel, config, data)
            yield judged(f"among {_OTHERS} others", among, alone)
            file = await file_finals(channel, config, cut(data, _MINUTE))
            yield judged("as a recording", file, alone.as_file())
            if one_sample:
                single = await stream_finals(channel, config, cut(data, 1))
                yield judged("alone, a message a sample", single, alone)


async def _among_others(channel: grpc.aio.Channel, config: pb.StreamConfig, data: bytes) -> Finals:
    shift = len(data) // (_OTHERS + 1)
    turned = [data[n * shift :] + data[: n * shift] for n in range(_OTHERS + 1)]
    seen = await asyncio.gather(
        *(stream_finals(channel, config, cut(own, _SECOND)) for own in turned)
    )
    return seen[0]


def _uneven(data: bytes) -> Iterator[bytes]:
    """Pieces of lengths that nothing divides."""
    random = np.random.default_rng(1)
    at = 0
    while at < len(data):
        size = int(2 ** random.uniform(0, 16))
        yield data[at : at + size]
        at += size


async def _main(arguments: argparse.Namespace) -> list[Comparison]:
    samples, what = talk(arguments.minutes * 60)
    print(f"{arguments.minutes:g} minutes, {what}, μ-law at 16 kHz")
    room = {"streams": 2000, "streams_per_principal": 2000, "batch_limit": 64}
    done = []
    with running_service(arguments.model, log_level="warning", **room) as service:
        modes = [arguments.mode] if arguments.mode else list(LatencyMode)
        comparing = compare(service.address, mulaw(samples), modes, one_sample=arguments.one_sample)
        async with contextlib.aclosing(comparing) as comparisons:
            async for one in comparisons:
                verdict = "equal" if one.equal else "DIFFERENT"
                said = f"{one.regions} regions, {one.turns} turns"
                print(f"{one.mode:8} {one.sent:40} {said:28} {verdict}", flush=True)
                done.append(one)
    return done


def main() -> int:
    """Prints a line for each way; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--mode", type=LatencyMode, help="by default both")
    parser.add_argument("--one-sample", action="store_true", help="send a message a sample too")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write the comparisons here as well")
    arguments = parser.parse_args()
    origin = provenance(load_package(arguments.model), runs=1)
    print(origin)
    done = asyncio.run(_main(arguments))
    if arguments.json:
        document = {
            "provenance": asdict(origin),
            "minutes": arguments.minutes,
            "comparisons": [asdict(one) for one in done],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return 0 if all(one.equal for one in done) else 1


if __name__ == "__main__":
    sys.exit(main())

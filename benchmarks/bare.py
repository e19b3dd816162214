"""A model alone: `InferenceSession.run` in a loop, which no server of it can outdo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.contract import WINDOW_CONTRACT
from voiceflow.onnx.runtime import open_session
from voiceflow.package import ModelPackage
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import FloatArray
from voiceflow.provider import Provider

_NEXT, _STATE = "next.", "state."


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of a loop.

    Attributes:
        rows_per_second: Hops, or windows, computed a second.
        rows_per_cpu_second: Likewise, for a second of processor time.
    """

    rows_per_second: float
    rows_per_cpu_second: float


@dataclass(frozen=True, slots=True)
class Timed:
    """One call.

    Attributes:
        at: When it began, on the clock of `time.perf_counter`.
        seconds: That it took.
    """

    at: float
    seconds: float


class Bare:
    """A model's session, and what it is fed.

    Args:
        package: The model.
        threads: Of one call.
        provider: What computes it.

    Raises:
        VoiceFlowError: See `open_session`.
    """

    def __init__(
        self, package: ModelPackage, *, threads: int = 1, provider: Provider = "cpu"
    ) -> None:
        self.manifest = package.manifest
        self._session = open_session(package.model_bytes, threads=threads, provider=provider)
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._states = {
            one.name: tuple(one.shape[1:])
            for one in self._session.get_inputs()
            if one.name.startswith(_STATE)
        }

    @property
    def row_samples(self) -> int:
        """Samples that one row of a batch holds: a hop in density mode, or a window."""
        return row_samples(self.manifest)

    def feeds(self, batch: int, seed: int = 0) -> dict[str, FloatArray]:
        """What a call is given: noise as loud as speech, and the memory of streams that begin."""
        noise = np.random.default_rng(seed).normal(0.0, 0.1, (batch, self.row_samples))
        feeds = {"audio": np.clip(noise, -1.0, 1.0).astype(np.float32)}
        for name, shape in self._states.items():
            feeds[name] = np.zeros((batch, *shape), np.float32)
        return feeds

    def call(self, feeds: dict[str, FloatArray]) -> None:
        """One call; the memory it leaves is that of the next."""
        results = self._session.run(self._outputs, feeds)
        for name, value in zip(self._outputs, results, strict=True):
            if name.startswith(_NEXT):
                feeds[_STATE + name.removeprefix(_NEXT)] = value

    def call_seconds(self, batch: int, calls: int) -> list[float]:
        """How long each of so many calls takes, after a tenth as many to warm up."""
        feeds = self.feeds(batch)
        taken = []
        for number in range(-max(1, calls // 10), calls):
            before = time.perf_counter()
            self.call(feeds)
            if number >= 0:
                taken.append(time.perf_counter() - before)
        return taken

    def seconds_while(self, going: Callable[[], bool], pause_seconds: float) -> list[Timed]:
        """How long each call takes, one at a time with a pause after it, as long as it goes on."""
        feeds = self.feeds(1)
        self.call(feeds)
        taken = []
        while going():
            before = time.perf_counter()
            self.call(feeds)
            taken.append(Timed(before, time.perf_counter() - before))
            time.sleep(pause_seconds)
        return taken

    def throughput(self, batch: int, seconds: float, callers: int) -> Throughput:
        """Rows a second, by so many threads at once, each with a batch of its own."""
        rows = [0] * callers
        self.call(self.feeds(batch))
        begun, cpu = time.perf_counter(), time.process_time()
        deadline = begun + seconds

        def work(caller: int) -> None:
            feeds = self.feeds(batch, caller)
            while time.perf_counter() < deadline:
                self.call(feeds)
                rows[caller] += batch

        threads = [threading.Thread(target=work, args=(one,)) for one in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, spent = time.perf_counter() - begun, time.process_time() - cpu
        return Throughput(sum(rows) / wall, sum(rows) / max(1e-9, spent))


def row_samples(manifest: Manifest) -> int:
    """Samples in a row of a batch: see `Bare.row_samples`."""
    if manifest.contract == WINDOW_CONTRACT and manifest.window_samples is not None:
        return manifest.window_samples
    return manifest.hop_samples[LatencyMode.DENSITY]


def rows_of(manifest: Manifest, audio_seconds: float) -> float:
    """What the service computes of a recording: windows, or whole hops and the part of the last."""
    hop = manifest.hop_samples[LatencyMode.DENSITY]
    cutter = HopCutter(hop, manifest.frame_samples)
    samples = np.zeros(round(audio_seconds * SAMPLE_RATE_HERTZ), np.float32)
    hops = cutter.push(samples) + cutter.finish(manifest.look_ahead_frames)
    if manifest.contract == WINDOW_CONTRACT:
        return float(len(hops))
    return sum(len(one) for one in hops) / hop

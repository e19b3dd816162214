"""What a conversation must have been told, by the pipeline alone, on the way that it took.

As `voiceflow.pipeline.offline.diarize_switching`, and besides it hears out the stream that a client
stays with until it has found another one: what that one said in the meantime was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voiceflow.artifact import LatencyMode
from voiceflow.client.events import Moved
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import BoundModel, FloatArray, State, empty_state
from voiceflow.pipeline.offline import RESUME_CONTEXT_SECONDS
from voiceflow.pipeline.replay import from_int16, to_int16
from voiceflow.pipeline.snapshot import Snapshot, context_samples, start_samples
from voiceflow.pipeline.turns import HopResult, Region

Models = Mapping[str, BoundModel]
"""By `models/{model}/versions/{semver}`."""


@dataclass(frozen=True, slots=True)
class GoneOn:
    """A conversation went on in another stream.

    Attributes:
        model_version: On which it went on.
        resumed_at_samples: Where the new stream's regions begin.
        told_samples: How far the old one had told.
        computed_samples: How far the old one had computed when its token was made: labels that it
            had given out beyond its final regions are not given again.
        ended: Whether the old stream was ended before the new one was there: then it had made final
            all that it had heard, up to `told_samples`.
    """

    model_version: str
    resumed_at_samples: int
    told_samples: int
    computed_samples: int
    ended: bool = False


Step = Moved | GoneOn


def expected_regions(
    audio: bytes,
    first: str,
    way: Sequence[Step],
    models: Models,
    mode: LatencyMode,
    *,
    resume_context_seconds: float = RESUME_CONTEXT_SECONDS,
) -> tuple[Region, ...]:
    """The partition that a client must have been told; neighbours differ in their speakers.

    Args:
        audio: PCM16 at 16 kHz.
        first: Version on which the conversation began.
        way: How it moved, in order.
        models: All that it was on.
        mode: Of the stream.
        resume_context_seconds: As the server has it.

    Raises:
        ValueError: No stream could have gone this way.
    """
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32_768)
    told = _Told()
    stream = _Stream(samples, models[first], mode, told)
    for step in way:
        match step:
            case Moved():
                stream.move(models[step.model_version], step)
            case GoneOn():
                stream = stream.gone_on(models[step.model_version], step, resume_context_seconds)
    stream.finish()
    return told.regions()


class _Told:
    """Puts regions together, each stretch of audio as it was told first."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self.until_samples = 0

    def take(self, result: HopResult) -> None:
        """Takes what was not told before."""
        for region in result.final_regions:
            start = max(region.start_samples, self.until_samples)
            if region.end_samples > start:
                self._regions.append(Region(start, region.end_samples, region.speakers))
                self.until_samples = region.end_samples

    def regions(self) -> tuple[Region, ...]:
        """All of it."""
        return joined(self._regions)


class _Stream:
    """One stream of a conversation."""

    def __init__(
        self,
        audio: FloatArray,
        model: BoundModel,
        mode: LatencyMode,
        told: _Told,
        diarizer: StreamDiarizer | None = None,
        start_samples: int = 0,
    ) -> None:
        self._audio = audio
        self._model = model
        self._mode = mode
        self._told = told
        self._diarizer = diarizer or StreamDiarizer(model.manifest)
        self._state: State = empty_state(model, 1)
        self._final_samples = 0
        self.at_samples = start_samples
        self._total_samples = len(audio)
        self._hops = self._hops_to_come()

    def hear(self, enough: Callable[[], bool]) -> None:
        """Computes hop after hop until it is enough."""
        while not enough():
            if not self._hops:
                raise ValueError(f"the audio ends at {self.at_samples} before the way does")
            hop = self._hops.pop()
            self.at_samples += len(hop)
            if self.at_samples > self._total_samples:
                self._diarizer.end_at(self._total_samples)
            frames, self._state = self._model.run(hop[None], self._state)
            self._tell(self._diarizer.push(frames.of(0)))

    def move(self, model: BoundModel, moved: Moved) -> None:
        """From a place on, another model computes."""
        self.hear(lambda: self.at_samples >= moved.at_samples)
        self._model = model
        self._diarizer.adopt(model.manifest)
        if moved.how == "replayed":
            start, end = moved.replayed_from_samples, self.at_samples
            heard = from_int16(to_int16(self._audio[start:end]))
            kept = np.zeros(end - start, np.float32)  # silence where the audio has ended
            kept[: len(heard)] = heard
            self._state = empty_state(model, 1)
            hop = model.manifest.hop_samples[self._mode]
            for begin in range(0, len(kept), hop):
                _, self._state = model.run(kept[None, begin : begin + hop], self._state)

    def gone_on(self, model: BoundModel, step: GoneOn, context_seconds: float) -> _Stream:
        """The stream that goes on where a token of this one says."""
        kept = context_samples(self._model.manifest, context_seconds)
        found: Snapshot | None = None

        def reached() -> bool:
            nonlocal found
            here = self._final_samples == step.resumed_at_samples
            if here and (found is None or self.at_samples <= step.computed_samples):
                found = self._diarizer.snapshot(kept)
            past = self._final_samples > step.resumed_at_samples
            return past or (here and self.at_samples >= step.computed_samples)

        def told_all() -> bool:
            return reached() and self._told.until_samples >= step.told_samples

        self.hear(reached if step.ended else told_all)
        if step.ended:
            self.end(step.told_samples)
        if found is None:
            raise ValueError(f"no final region ends at {step.resumed_at_samples}")
        start = start_samples(found, model.manifest, self._mode)
        diarizer = StreamDiarizer.resumed(model.manifest, found, start)
        stream = _Stream(self._audio, model, self._mode, self._told, diarizer, start)
        stream._final_samples = found.at_samples
        return stream

    def end(self, total_samples: int) -> None:
        """Hears no more than so much audio, and makes it final."""
        self._total_samples = total_samples
        self._hops = self._hops_to_come()
        self.finish()

    def finish(self) -> None:
        """Hears the rest and makes it final."""
        self.hear(lambda: not self._hops)
        self._diarizer.end_at(self._total_samples)
        self._tell(self._diarizer.finish())

    def _hops_to_come(self) -> list[FloatArray]:
        """The rest of the audio, the next hop last."""
        manifest = self._model.manifest
        cutter = HopCutter(manifest.hop_samples[self._mode], manifest.frame_samples)
        hops = cutter.push(self._audio[self.at_samples : self._total_samples])
        return [*hops, *cutter.finish(manifest.look_ahead_frames)][::-1]

    def _tell(self, result: HopResult) -> None:
        if result.final_regions:
            self._final_samples = result.final_regions[-1].end_samples
        self._told.take(result)


def joined(regions: Iterable[Region]) -> tuple[Region, ...]:
    """Equal neighbours are one region."""
    made: list[Region] = []
    for region in regions:
        if made and made[-1].speakers == region.speakers:
            made[-1] = Region(made[-1].start_samples, region.end_samples, region.speakers)
        else:
            made.append(region)
    return tuple(made)

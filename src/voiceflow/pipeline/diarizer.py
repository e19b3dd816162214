"""One stream from frames to turns: what is said of each hop, and when it becomes final."""

from __future__ import annotations

from collections import deque
from typing import Self

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.pipeline.activity import Edge, EdgeDetector, Voices, rank_tracks
from voiceflow.pipeline.finding import Finder
from voiceflow.pipeline.identity import SHORTEST_SEGMENT_SECONDS, Identity, Named
from voiceflow.pipeline.labels import LOST, SILENCE, UNNAMED, Labels, drop_short_runs, runs, tidy
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.snapshot import EdgeState, Snapshot, recent_regions
from voiceflow.pipeline.turns import (
    UNKNOWN,
    Event,
    HopResult,
    Region,
    SpeakerMerged,
    SpeakerTalk,
    SpeechEvent,
    SpeechEventKind,
    Turn,
    TurnBuilder,
)

HORIZON_SECONDS = 2.0
MAXIMUM_SPEAKERS = 20

SPEECH_ONSET_SECONDS = 0.08
SPEECH_END_SECONDS = 0.2
OVERLAP_EDGE_SECONDS = 0.12

CHANGE_LAG_SECONDS = 0.5
"""How long a new speaker must have been heard before the change is told."""


class StreamDiarizer:
    """The speakers and turns of one stream: pure, bounded, deterministic.

    Args:
        manifest: Of the model whose frames are pushed.
        minimum_speakers: How many speakers there are at least, 0 if not known.
        maximum_speakers: How many there can be.
        provisional_turns: Whether results carry turns that may still change.
        horizon_seconds: How long after its audio a turn may still change.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        minimum_speakers: int = 0,
        maximum_speakers: int = MAXIMUM_SPEAKERS,
        provisional_turns: bool = False,
        horizon_seconds: float = HORIZON_SECONDS,
    ) -> None:
        point = manifest.operating_point
        self._manifest = manifest
        self._frame_samples = manifest.frame_samples
        self._frame_seconds = manifest.frame_samples / SAMPLE_RATE_HERTZ
        self._horizon_frames = self._frames_in(horizon_seconds)
        self._minimum_pause_frames = self._frames_in(point.minimum_pause_seconds)
        self._minimum_turn_frames = self._frames_in(point.minimum_turn_seconds)
        self._overlap_edge_frames = self._frames_in(OVERLAP_EDGE_SECONDS)
        self._provisional_turns = provisional_turns
        self._identity = Identity(
            point, manifest.embedding_dim, self._frame_seconds, minimum_speakers, maximum_speakers
        )
        self._speech = EdgeDetector(
            point.speech_threshold,
            self._frames_in(SPEECH_ONSET_SECONDS),
            self._frames_in(SPEECH_END_SECONDS),
        )
        self._overlap = EdgeDetector(
            point.overlap_threshold, self._overlap_edge_frames, self._overlap_edge_frames
        )
        self._turns = TurnBuilder()
        self._names = {UNNAMED: UNKNOWN}
        self._names_given = 0
        self._merges: list[SpeakerMerged] = []
        self._lead_in_frames = manifest.look_ahead_frames
        self._covered_frames = 0
        self._final_frames = 0
        self._final_first = self._final_second = SILENCE
        self._announced = UNNAMED
        self._scanned_frames = 0
        self._told = np.zeros(0, np.intp)  # first labels of the held frames, as last seen
        self._label_changes = 0
        self._total_samples: int | None = None
        self._recent: deque[Region] = deque()
        self._resumed_at_samples = 0
        self._kept_from_samples = 0
        self._finding: tuple[Snapshot, Finder] | None = None

    @classmethod
    def resumed(
        cls,
        manifest: Manifest,
        snapshot: Snapshot,
        start_samples: int,
        *,
        minimum_speakers: int = 0,
        maximum_speakers: int = MAXIMUM_SPEAKERS,
        provisional_turns: bool = False,
        horizon_seconds: float = HORIZON_SECONDS,
    ) -> Self:
        """One that goes on where another one's snapshot was taken.

        Its frames begin before that, with audio that is heard again: nothing of it is told. Regions
        and turns go on from `at_samples` on, events from where they had been told. In another
        embedding space speakers are found again by who spoke when in the audio that is heard again;
        labels of those who did not speak there are given to nobody.

        Args:
            manifest: Of the model whose frames are pushed.
            snapshot: Of the stream.
            start_samples: Where the first frame lies, as `snapshot.start_samples` says.
            minimum_speakers: As of a new one, and so on.
            maximum_speakers: Speakers who were known already stay, even if they are more.
            provisional_turns: As of a new one.
            horizon_seconds: As of a new one.
        """
        diarizer = cls(
            manifest,
            minimum_speakers=minimum_speakers,
            maximum_speakers=maximum_speakers,
            provisional_turns=provisional_turns,
            horizon_seconds=horizon_seconds,
        )
        diarizer._go_on(snapshot, start_samples)
        return diarizer

    def adopt(self, manifest: Manifest) -> None:
        """From the next hop on frames come from this model: see `moves.can_follow`.

        It has the same embedding space. Its thresholds hold from now on; all else goes on.
        """
        point = manifest.operating_point
        self._minimum_pause_frames = self._frames_in(point.minimum_pause_seconds)
        self._minimum_turn_frames = self._frames_in(point.minimum_turn_seconds)
        self._identity.adopt(point)
        self._speech.adopt(point.speech_threshold)
        self._overlap.adopt(point.overlap_threshold)

    def snapshot(self, context_samples: int) -> Snapshot:
        """What is needed to go on elsewhere from the end of the final regions.

        Args:
            context_samples: Audio before it that the client keeps, as `snapshot.context_samples`
                says; a client of a resumed stream has none from before what it kept then.
        """
        if self._finding is not None:  # nothing has been told since
            return self._finding[0]
        at = self._final_samples()
        context_samples = min(context_samples, at - self._kept_from_samples)
        known = self._identity.known()
        return Snapshot(
            at_samples=at,
            context_samples=context_samples,
            frame_samples=self._frame_samples,
            embedding_space=self._manifest.embedding_space,
            voices=known,
            names=tuple(self._names.get(number, "") for number in range(len(known.aliases))),
            names_given=self._names_given,
            final_first=self._final_first,
            final_second=self._final_second,
            announced=self._announced,
            scanned_samples=self._scanned_frames * self._frame_samples,
            speech=self._edge_state(self._speech),
            overlap=self._edge_state(self._overlap),
            open_turns=self._turns.open_turns(),
            talk_samples=dict(self._turns.talk_samples),
            merges=tuple(self._merges),
            recent=recent_regions(self._recent, at - context_samples),
        )

    def push(self, frames: Frames) -> HopResult:
        """Takes the frames of the next hop: (frames,), (frames, tracks), (frames, tracks, dim)."""
        self._covered_frames += len(frames.speech)
        voices = rank_tracks(frames)
        lead_in = min(self._lead_in_frames, len(voices.activity))
        if self._finding is not None:
            self._hear_again(self._finding, voices.until(lead_in))
        self._lead_in_frames -= lead_in
        voices = voices.since(lead_in)
        self._identity.extend(voices)
        events = self._speech_events(frames.speech) + self._overlap_events(voices.activity[:, 1])
        final = self._covered_frames - self._horizon_frames - self._final_frames
        return self._emit(max(0, min(final, self._identity.held_frames)), events)

    def flush(self) -> HopResult:
        """Makes final every frame whose activity is known."""
        return self._emit(self._identity.held_frames, [])

    def end_at(self, total_samples: int) -> None:
        """Says where the audio ends; what is pushed beyond it is padding and is not told of."""
        self._total_samples = total_samples

    def finish(self) -> HopResult:
        """Makes the rest final: the partition ends exactly where `end_at` said.

        Call it after `end_at` and after the hops of `HopCutter.finish` were pushed.
        """
        events: list[Event] = []
        if self._speech.active:
            events.append(self._event(SpeechEventKind.SPEECH_ENDED, self._covered_frames))
        if self._overlap.active:
            events.append(self._event(SpeechEventKind.OVERLAP_ENDED, self._covered_frames))
        result = self._emit(self._identity.held_frames, events)
        return HopResult(
            result.final_regions,
            result.turns_final + tuple(self._turns.finish()),
            (),
            result.events,
            result.covered_samples,
            result.final_until_samples,
        )

    def summary(self) -> tuple[SpeakerTalk, ...]:
        """Everybody who speaks in final regions, as first labelled, in order of appearance."""
        talk = self._turns.talk_samples
        numbers = {self._names.get(speaker): speaker for speaker in self._identity.live_speakers()}
        return tuple(
            SpeakerTalk(
                name,
                talk[name],
                self._identity.prototypes(numbers[name]) if name in numbers else (),
            )
            for name in sorted(talk, key=_order)
        )

    def merges(self) -> tuple[SpeakerMerged, ...]:
        """Every merge so far."""
        return tuple(self._merges)

    @property
    def label_changes(self) -> int:
        """How often a stretch of audio got another speaker than it had been seen with before."""
        return self._label_changes

    def _emit(self, frames: int, events: list[Event]) -> HopResult:
        named = self._named()
        self._count_changes(named.first, frames)
        regions, turns = self._finalise(named, frames)
        changes = self._speaker_changes(named, frames)
        provisional = self._provisional(named, frames) if self._provisional_turns else ()
        events = [*events, *changes, *self._merge_events(self._identity.commit(frames))]
        return HopResult(
            tuple(regions),
            tuple(turns),
            provisional,
            tuple(sorted(events, key=_place)),
            max(self._clip(self._covered_frames), self._resumed_at_samples),
            self._final_samples(),
        )

    def _count_changes(self, labels: Labels, frames: int) -> None:
        """Counts stretches that one speaker had and another, or nobody known, has now."""
        told = self._told
        now = labels[: len(told)]
        changed = (told >= 0) & (now != told) & (now != SILENCE)
        if changed.any():
            self._label_changes += int(changed[0]) + int((changed[1:] & ~changed[:-1]).sum())
        self._told = labels[frames:]

    def _named(self) -> Named:
        named = self._identity.labels()
        first = tidy(
            named.first, self._final_first, self._minimum_pause_frames, self._minimum_turn_frames
        )
        second = drop_short_runs(
            np.where(first == SILENCE, SILENCE, named.second),
            self._final_second,
            self._overlap_edge_frames,
        )
        self._name_newcomers(first, second)
        return Named(first, second)

    def _name_newcomers(self, first: Labels, second: Labels) -> None:
        """Gives `S1`, `S2`, … in the order in which speakers are first seen in the audio."""
        if self._identity.born_speakers < len(self._names):
            return
        for pair in zip(first.tolist(), second.tolist(), strict=True):
            for speaker in pair:
                if speaker not in self._names and speaker != SILENCE:
                    self._names_given += 1
                    self._names[speaker] = f"S{self._names_given}"

    def _finalise(self, named: Named, frames: int) -> tuple[list[Region], list[Turn]]:
        regions, turns = [], []
        for start, end, region in self._regions(named, 0, frames, self._final_frames):
            confidence = self._identity.confidence(start, end) if region.speakers else 0.0
            turns += self._turns.push(region, confidence)
            regions.append(region)
            self._remember(region)
        if frames:
            self._final_first = int(named.first[frames - 1])
            self._final_second = int(named.second[frames - 1])
        self._final_frames += frames
        return regions, turns

    def _regions(
        self, named: Named, start_frame: int, end_frame: int, first_frame: int
    ) -> list[tuple[int, int, Region]]:
        """Regions of a span of held frames, with their half-open spans.

        Args:
            named: Labels of the held frames.
            start_frame: Start of the span among the held frames.
            end_frame: End of the span among the held frames.
            first_frame: The first held frame, counted from the start of the stream.
        """
        span = slice(start_frame, end_frame)
        regions = []
        for start, end in runs(named.first[span], named.second[span]):
            at = start_frame + start
            labels = {int(named.first[at]), int(named.second[at])} - {SILENCE}
            region = Region(
                max(self._clip(first_frame + at), self._resumed_at_samples),
                self._clip(first_frame + start_frame + end),
                tuple(sorted({self._names[label] for label in labels}, key=_order)),
            )
            if region.end_samples > region.start_samples:
                regions.append((at, start_frame + end, region))
        return regions

    def _provisional(self, named: Named, final: int) -> tuple[Turn, ...]:
        rest = self._regions(named, final, len(named.first), self._final_frames - final)
        confidence = self._identity.confidence(final, len(named.first)) if rest else 0.0
        return tuple(
            turn
            for turn in self._turns.provisional([region for *_, region in rest], confidence)
            if turn.end_samples > self._final_samples()
        )

    def _speech_events(self, speech: FloatArray) -> list[Event]:
        return [
            self._edge_event(edge, SpeechEventKind.SPEECH_STARTED, SpeechEventKind.SPEECH_ENDED)
            for edge in self._speech.push(speech)
        ]

    def _overlap_events(self, activity: FloatArray) -> list[Event]:
        return [
            self._edge_event(edge, SpeechEventKind.OVERLAP_STARTED, SpeechEventKind.OVERLAP_ENDED)
            for edge in self._overlap.push(activity)
        ]

    def _edge_event(self, edge: Edge, rise: SpeechEventKind, fall: SpeechEventKind) -> Event:
        return self._event(rise if edge.rising else fall, edge.frame)

    def _event(self, kind: SpeechEventKind, frame: int, speaker: str | None = None) -> Event:
        return SpeechEvent(kind, self._clip(frame), self._clip(self._covered_frames), speaker)

    def _speaker_changes(self, named: Named, frames: int) -> list[Event]:
        """Tells once that another known speaker has taken over.

        That is, half a second into the turn, or when it becomes final before that.
        """
        base = self._final_frames - frames  # the first held frame
        begin = max(0, self._scanned_frames - base)
        end = max(frames, len(named.first) - self._frames_in(CHANGE_LAG_SECONDS))
        events: list[Event] = []
        for start, _ in runs(named.first[begin:end]):
            speaker = int(named.first[begin + start])
            if speaker < 0 or speaker == self._announced:
                continue
            if self._announced != UNNAMED:
                elsewhere = np.flatnonzero(named.first[: begin + start] != speaker)
                at = base + (int(elsewhere[-1]) + 1 if len(elsewhere) else 0)
                kind, name = SpeechEventKind.SPEAKER_CHANGED, self._names[speaker]
                events.append(self._event(kind, at, name))
            self._announced = speaker
        self._scanned_frames = max(self._scanned_frames, base + end)
        return events

    def _merge_events(self, merges: list[tuple[int, int]]) -> list[SpeakerMerged]:
        told = []
        for source, target in merges:
            if source in self._names and target in self._names:
                names = self._names[source], self._names[target]
                told.append(SpeakerMerged(*names, self._final_samples()))
            elif source in self._names:  # the other was never seen: nothing to tell
                self._names[target] = self._names[source]
        self._merges += told
        self._announced = dict(merges).get(self._announced, self._announced)
        return told

    def _go_on(self, snapshot: Snapshot, start_samples: int) -> None:
        first = start_samples // self._frame_samples
        final = snapshot.at_samples // self._frame_samples
        self._resumed_at_samples = snapshot.at_samples
        self._kept_from_samples = max(0, snapshot.at_samples - snapshot.context_samples)
        self._covered_frames = first
        self._final_frames = final
        self._lead_in_frames += final - first
        self._scanned_frames = snapshot.scanned_samples // self._frame_samples
        self._resume_edges(self._speech, snapshot.speech, first)
        self._resume_edges(self._overlap, snapshot.overlap, final)
        self._turns.resume(snapshot.open_turns, snapshot.talk_samples)
        self._recent.extend(snapshot.recent)
        self._merges += snapshot.merges
        self._names_given = snapshot.names_given
        if not snapshot.is_in_space_of(self._manifest):
            point = self._manifest.operating_point
            self._finding = snapshot, Finder(snapshot, point, self._frame_samples, first)
            return
        scale = snapshot.frame_samples / self._frame_samples
        self._identity.resume(snapshot.voices, final, scale)
        self._names |= {number: name for number, name in enumerate(snapshot.names) if name}
        self._final_first, self._final_second = snapshot.final_first, snapshot.final_second
        self._announced = snapshot.announced

    def _hear_again(self, finding: tuple[Snapshot, Finder], voices: Voices) -> None:
        """Looks for the speakers, in another embedding space, until all that is final was heard."""
        snapshot, finder = finding
        finder.hear(self._final_frames - self._lead_in_frames, voices)
        if len(voices.activity) < self._lead_in_frames:
            return
        found = finder.found(self._frames_in(SHORTEST_SEGMENT_SECONDS))
        numbers = {name: number for number, name in enumerate(found)}
        self._names |= {number: name for name, number in numbers.items()}

        def now(label: int) -> int:
            if label < 0:
                return label
            return numbers.get(finder.resolve(snapshot.names[label]), LOST)

        self._final_first, self._final_second = (
            now(snapshot.final_first),
            now(snapshot.final_second),
        )
        self._announced = now(snapshot.announced)
        self._identity.begin(list(found.values()), self._final_first, self._final_frames)
        self._finding = None

    def _edge_state(self, detector: EdgeDetector) -> EdgeState:
        return EdgeState(
            detector.heard_frames * self._frame_samples,
            detector.active,
            detector.against_frames * self._frame_samples,
        )

    def _resume_edges(self, detector: EdgeDetector, state: EdgeState, first_frame: int) -> None:
        heard = state.at_samples // self._frame_samples
        detector.resume(
            active=state.active,
            against_frames=state.against_samples // self._frame_samples,
            heard_frames=heard,
            skip_frames=max(0, heard - first_frame),
        )

    def _remember(self, region: Region) -> None:
        """Keeps the last final regions, equal neighbours joined."""
        if self._recent and self._recent[-1].speakers == region.speakers:
            start = self._recent.pop().start_samples
            region = Region(start, region.end_samples, region.speakers)
        self._recent.append(region)
        while self._recent[0].end_samples <= region.end_samples - _REMEMBERED_SAMPLES:
            self._recent.popleft()

    def _final_samples(self) -> int:
        return max(self._clip(self._final_frames), self._resumed_at_samples)

    def _frames_in(self, seconds: float) -> int:
        return max(1, round(seconds / self._frame_seconds))

    def _clip(self, frame: int) -> int:
        samples = frame * self._frame_samples
        return samples if self._total_samples is None else min(samples, self._total_samples)


_REMEMBERED_SAMPLES = 120 * SAMPLE_RATE_HERTZ
"""Of final regions: the longest context that a model can have."""


def _order(name: str) -> tuple[bool, int, str]:
    """Known speakers in order of appearance, the unknown last."""
    return name == UNKNOWN, len(name), name


def _place(event: Event) -> int:
    return event.at_samples

"""One stream from frames to turns: what is said of each hop, and when it becomes final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.pipeline.acquaintance import SHORTEST_SEGMENT_SECONDS, Acquaintance
from voiceflow.pipeline.activity import Voices, rank_tracks
from voiceflow.pipeline.changes import ChangeDetector, LabelChanges
from voiceflow.pipeline.edges import SpeechEdges
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.finding import Finder
from voiceflow.pipeline.hearing import Heard
from voiceflow.pipeline.identity import Identity, Named
from voiceflow.pipeline.labels import LOST, SILENCE, drop_short_runs, runs, tidy
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.naming import Names, by_appearance
from voiceflow.pipeline.snapshot import RecentRegions, Snapshot
from voiceflow.pipeline.turns import (
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

CHANGE_LAG_SECONDS = 0.5
"""How long a new speaker must have been heard before the change is told."""


class StreamDiarizer:
    """The speakers and turns of one stream: pure, bounded, deterministic.

    Args:
        manifest: Of the model whose frames are pushed.
        minimum_speakers: How many speakers there are at least, 0 if not known.
        maximum_speakers: How many there can be, those who are enrolled included.
        enrolled: Speakers who are called by their names from the first turn on; names are unique,
            and none is of the form of a label that is given here.
        provisional_turns: Whether results carry turns that may still change.
        horizon_seconds: How long after its audio a turn may still change.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        minimum_speakers: int = 0,
        maximum_speakers: int = MAXIMUM_SPEAKERS,
        enrolled: Sequence[EnrolledSpeaker] = (),
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
        self._provisional_turns = provisional_turns
        dim, frame_seconds = manifest.embedding_dim, self._frame_seconds
        speakers = Acquaintance(point, dim, frame_seconds, maximum_speakers, enrolled)
        self._identity = Identity(point, speakers, frame_seconds, minimum_speakers)
        self._edges = SpeechEdges(point, self._frame_seconds)
        self._turns = TurnBuilder()
        self._names = Names()
        self._names.know({number: one.name for number, one in enumerate(enrolled)})
        self._changes = ChangeDetector(self._frames_in(CHANGE_LAG_SECONDS))
        self._lead_in_frames = manifest.look_ahead_frames
        self._covered_frames = 0
        self._final_frames = 0
        self._final_first = self._final_second = SILENCE
        self._label_changes = LabelChanges()
        self._total_samples: int | None = None
        self._recent = RecentRegions()
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
        and turns go on from `at_samples` on, events from where they had been told. Who was enrolled
        still is. In another embedding space speakers are found again, the enrolled like all others,
        by who spoke when in the audio that is heard again; labels of those who did not speak there
        are given to nobody.

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
        self._edges.adopt(point)

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
            names=tuple(self._names.get(number) or "" for number in range(len(known.aliases))),
            names_given=self._names.given,
            final_first=self._final_first,
            final_second=self._final_second,
            announced=self._changes.announced,
            scanned_samples=self._changes.scanned_frames * self._frame_samples,
            speech=self._edges.speech.state(self._frame_samples),
            overlap=self._edges.overlap.state(self._frame_samples),
            open_turns=self._turns.open_turns(),
            talk_samples=dict(self._turns.talk_samples),
            merges=self.merges(),
            recent=self._recent.since(at - context_samples),
        )

    def push(self, frames: Frames) -> HopResult:
        """Takes the frames of the next hop: (frames,), (frames, tracks), (frames, tracks, dim)."""
        return self.tell(self.hear(frames))

    def hear(self, frames: Frames) -> Heard:
        """The first half of `push`: whose voices the frames that may still change are."""
        self._covered_frames += len(frames.speech)
        voices = rank_tracks(frames)
        lead_in = min(self._lead_in_frames, len(voices.activity))
        if self._finding is not None:
            self._hear_again(self._finding, voices.until(lead_in))
        if lead_in:
            self._lead_in_frames -= lead_in
            voices = voices.since(lead_in)
        self._identity.extend(voices)
        edges = self._edges.push(frames.speech, voices.activity[:, 1])
        return Heard(self._named(), tuple(edges))

    def tell(self, heard: Heard) -> HopResult:
        """The other half: what is told of the hop that was heard last."""
        events: list[Event] = [self._event(kind, frame) for kind, frame in heard.edges]
        final = self._covered_frames - self._horizon_frames - self._final_frames
        return self._emit(heard.named, max(0, min(final, self._identity.held_frames)), events)

    def flush(self) -> HopResult:
        """Makes final every frame whose activity is known."""
        return self._emit(self._named(), self._identity.held_frames, [])

    def end_at(self, total_samples: int) -> None:
        """Says where the audio ends; what is pushed beyond it is padding and is not told of."""
        self._total_samples = total_samples

    def finish(self) -> HopResult:
        """Makes the rest final: the partition ends exactly where `end_at` said.

        Call it after `end_at` and after the hops of `HopCutter.finish` were pushed.
        """
        open_edges = self._edges.ends(self._covered_frames)
        events: list[Event] = [self._event(kind, frame) for kind, frame in open_edges]
        result = self._emit(self._named(), self._identity.held_frames, events)
        self._identity.finish()
        turns = result.turns_final + tuple(self._turns.finish())
        return replace(result, turns_final=turns, turns_provisional=())

    def summary(self) -> tuple[SpeakerTalk, ...]:
        """Everybody who speaks in final regions, as first labelled: enrolled, in order, unknown."""
        talk = self._turns.talk_samples
        numbers = {self._names.get(speaker): speaker for speaker in self._identity.live_speakers()}
        return tuple(
            SpeakerTalk(
                name,
                talk[name],
                self._identity.prototypes(numbers[name]) if name in numbers else (),
            )
            for name in sorted(talk, key=by_appearance)
        )

    def merges(self) -> tuple[SpeakerMerged, ...]:
        """Every merge so far."""
        return tuple(self._names.merges)

    @property
    def label_changes(self) -> int:
        """How often a stretch of audio got another speaker than it had been seen with before."""
        return self._label_changes.count

    def _emit(self, named: Named, frames: int, events: list[Event]) -> HopResult:
        self._label_changes.see(named.first, frames)
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

    def _named(self) -> Named:
        named = self._identity.labels()
        first = tidy(
            named.first, self._final_first, self._minimum_pause_frames, self._minimum_turn_frames
        )
        second = named.second
        if second.count(SILENCE) < len(second):
            second = drop_short_runs(
                [
                    SILENCE if label == SILENCE else other
                    for label, other in zip(first, second, strict=True)
                ],
                self._final_second,
                self._edges.overlap_edge_frames,
            )
        self._names.introduce(first, second, self._identity.born_speakers)
        return Named(first, second)

    def _finalise(self, named: Named, frames: int) -> tuple[list[Region], list[Turn]]:
        regions, turns = [], []
        for start, end, region in self._regions(named, 0, frames, self._final_frames):
            confidence = self._identity.confidence(start, end) if region.speakers else 0.0
            turns += self._turns.push(region, confidence)
            regions.append(region)
            self._recent.add(region)
        if frames:
            self._final_first = named.first[frames - 1]
            self._final_second = named.second[frames - 1]
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
        for start, end in runs(zip(named.first[span], named.second[span], strict=True)):
            at = start_frame + start
            labels = {named.first[at], named.second[at]} - {SILENCE}
            region = Region(
                max(self._clip(first_frame + at), self._resumed_at_samples),
                self._clip(first_frame + start_frame + end),
                tuple(sorted({self._names[label] for label in labels}, key=by_appearance)),
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

    def _event(self, kind: SpeechEventKind, frame: int, speaker: str | None = None) -> Event:
        return SpeechEvent(kind, self._clip(frame), self._clip(self._covered_frames), speaker)

    def _speaker_changes(self, named: Named, frames: int) -> list[Event]:
        held_from = self._final_frames - frames
        return [
            self._event(SpeechEventKind.SPEAKER_CHANGED, frame, self._names[speaker])
            for frame, speaker in self._changes.find(named.first, held_from, frames)
        ]

    def _merge_events(self, merges: list[tuple[int, int]]) -> list[SpeakerMerged]:
        self._changes.merge(dict(merges))
        return self._names.merge(merges, self._final_samples())

    def _go_on(self, snapshot: Snapshot, start_samples: int) -> None:
        first = start_samples // self._frame_samples
        final = snapshot.at_samples // self._frame_samples
        self._resumed_at_samples = snapshot.at_samples
        self._kept_from_samples = max(0, snapshot.at_samples - snapshot.context_samples)
        self._covered_frames = first
        self._final_frames = final
        self._lead_in_frames += final - first
        self._changes.scanned_frames = snapshot.scanned_samples // self._frame_samples
        self._edges.speech.resume(snapshot.speech, self._frame_samples, first)
        self._edges.overlap.resume(snapshot.overlap, self._frame_samples, final)
        self._turns.resume(snapshot.open_turns, snapshot.talk_samples)
        self._recent.resume(snapshot.recent)
        self._names.resume(snapshot.names_given, snapshot.merges)
        if not snapshot.is_in_space_of(self._manifest):
            point = self._manifest.operating_point
            self._finding = snapshot, Finder(snapshot, point, self._frame_samples, first)
            return
        scale = snapshot.frame_samples / self._frame_samples
        self._identity.resume(snapshot.voices, final, scale)
        self._names.know({number: name for number, name in enumerate(snapshot.names) if name})
        self._final_first, self._final_second = snapshot.final_first, snapshot.final_second
        self._changes.announced = snapshot.announced

    def _hear_again(self, finding: tuple[Snapshot, Finder], voices: Voices) -> None:
        """Looks for the speakers, in another embedding space, until all that is final was heard."""
        snapshot, finder = finding
        finder.hear(self._final_frames - self._lead_in_frames, voices)
        if len(voices.activity) < self._lead_in_frames:
            return
        found = finder.found(self._frames_in(SHORTEST_SEGMENT_SECONDS))
        numbers = {name: number for number, name in enumerate(found)}
        self._names.know({number: name for name, number in numbers.items()})

        def now(label: int) -> int:
            if label < 0:
                return label
            return numbers.get(finder.resolve(snapshot.names[label]), LOST)

        self._final_first, self._final_second = (
            now(snapshot.final_first),
            now(snapshot.final_second),
        )
        self._changes.announced = now(snapshot.announced)
        enrolled = len(found.keys() & {*snapshot.enrolled_names})
        self._identity.begin(list(found.values()), enrolled, self._final_first, self._final_frames)
        self._finding = None

    def _final_samples(self) -> int:
        return max(self._clip(self._final_frames), self._resumed_at_samples)

    def _frames_in(self, seconds: float) -> int:
        return max(1, round(seconds / self._frame_seconds))

    def _clip(self, frame: int) -> int:
        samples = frame * self._frame_samples
        return samples if self._total_samples is None else min(samples, self._total_samples)


def _place(event: Event) -> int:
    return event.at_samples

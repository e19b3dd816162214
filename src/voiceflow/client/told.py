"""What the caller of a conversation has been told, over however many streams: pure.

A stream that goes on elsewhere begins at the newest token, which lies a little before the end of
what was told. What it says of that time is not told again: its final regions are cut where the
told ones end, and turns, events and merges are told once, in such a way that turns remain what the
told regions add up to. Before anything was resumed everything passes as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from voiceflow.client.events import (
    Begin,
    Event,
    FrameActivity,
    Region,
    Resumed,
    SpeakerMerged,
    SpeakerSummary,
    SpeechEvent,
    Summary,
    Timings,
    Turn,
    Update,
)
from voiceflow.pipeline.naming import by_appearance
from voiceflow.pipeline.turns import SpeechEventKind


class Told:
    """Passes on what is news to the caller; bounded by the number of labels.

    Args:
        begin: Of the first stream.

    Attributes:
        final_until_samples: End of the final regions told.
        covered_samples: Audio computed, as told.
    """

    def __init__(self, begin: Begin) -> None:
        self.final_until_samples = 0
        self.covered_samples = 0
        self._begin = begin
        self._resumed = False
        self._open: dict[str, int] = {}  # speakers of the last region: start of their turn
        self._talk: dict[str, int] = {}
        self._confidences: dict[str, float] = {}  # as last heard of each speaker
        self._merges: dict[tuple[str, str], SpeakerMerged] = {}
        self._last: dict[str, SpeechEvent] = {}
        self._noticed_samples = 0
        self._speech_until = self._tracks_until = self._timed_until = 0

    def resume(self, begin: Begin) -> Resumed:
        """From now on events are those of another stream."""
        self._begin = begin
        self._resumed = True
        self._noticed_samples = max(self._noticed_samples, self.covered_samples)
        return Resumed(begin, self.final_until_samples)

    def take(self, event: Event) -> Event | None:
        """What of an event is news; None: nothing."""
        match event:
            case Update():
                return self._update(event)
            case SpeechEvent():
                return self._speech_event(event)
            case SpeakerMerged():
                return self._merge(event)
            case Timings():
                return self._timings(event)
            case Summary() if self._resumed:
                return self._summary(event)
            case _:
                return event

    def _timings(self, timings: Timings) -> Timings | None:
        """Hops that are computed once more are not told of once more."""
        if timings.audio_end_samples <= self._timed_until:
            return None
        self._timed_until = timings.audio_end_samples
        return timings

    def _update(self, update: Update) -> Update | None:
        caught_up = update.covered_samples > self.covered_samples
        self._confidences |= {turn.speaker: turn.confidence for turn in update.turns}
        regions = self._new_regions(update.final_regions)
        ended = [turn for region in regions for turn in self._push(region)]
        ended += self._closed(update)
        self.covered_samples = max(self.covered_samples, update.covered_samples)
        if not self._resumed:
            self._speech_until, self._tracks_until = self._activity_ends(update.activity)
            return update
        turns = self._final(ended, update) + self._provisional(update)
        activity = self._new_frames(update.activity)
        if not (caught_up or regions or ended):
            return None
        return replace(
            update,
            final_regions=tuple(regions),
            turns=tuple(turns),
            covered_samples=self.covered_samples,
            final_until_samples=max(self.final_until_samples, update.final_until_samples),
            activity=activity,
        )

    def _new_regions(self, regions: tuple[Region, ...]) -> list[Region]:
        """The regions from the end of what was told on."""
        if not self._resumed:
            return list(regions)
        until = self.final_until_samples
        return [
            replace(region, start_samples=max(region.start_samples, until))
            for region in regions
            if region.end_samples > until
        ]

    def _push(self, region: Region) -> list[Turn]:
        """Takes the next region that is told; returns the turns that ended at its start."""
        ended = [
            self._turn(name, region.start_samples)
            for name in list(self._open)
            if name not in region.speakers
        ]
        for name in region.speakers:
            self._open.setdefault(name, region.start_samples)
            length = region.end_samples - region.start_samples
            self._talk[name] = self._talk.get(name, 0) + length
        self.final_until_samples = region.end_samples
        return ended

    def _closed(self, update: Update) -> list[Turn]:
        """Turns that end where the regions do: a stream that ends closes them."""
        until = self.final_until_samples
        return [
            self._turn(turn.speaker, until)
            for turn in update.turns
            if turn.final and turn.end_samples >= until and turn.speaker in self._open
        ]

    def _turn(self, name: str, end_samples: int) -> Turn:
        return Turn(name, self._open.pop(name), end_samples, 0.0, final=True)

    def _final(self, ended: list[Turn], update: Update) -> list[Turn]:
        """Turns that ended, with the confidence that the server has in them."""
        told = {(turn.speaker, turn.end_samples): turn for turn in update.turns if turn.final}
        return [
            replace(
                turn,
                confidence=told[key].confidence
                if (key := (turn.speaker, turn.end_samples)) in told
                else self._confidences.get(turn.speaker, 0.0),
            )
            for turn in ended
        ]

    def _provisional(self, update: Update) -> list[Turn]:
        """Turns that may still change, which begin where the told ones let them."""
        until = self.final_until_samples
        return [
            turn
            if turn.start_samples > until
            else replace(turn, start_samples=self._open.get(turn.speaker, until))
            for turn in update.turns
            if not turn.final and turn.end_samples > until
        ]

    def _speech_event(self, event: SpeechEvent) -> SpeechEvent | None:
        """Starts and ends alternate for the caller, too, and none goes back behind another."""
        family = _FAMILIES[event.kind]
        last = self._last.get(family)
        if self._resumed:
            if last is None and event.kind in _ENDS:
                return None
            if last is not None and (
                event.at_samples <= last.at_samples
                or (event.kind, event.speaker) == (last.kind, last.speaker)
            ):
                return None
            event = replace(
                event, noticed_at_samples=max(self._noticed_samples, event.noticed_at_samples)
            )
        self._noticed_samples = event.noticed_at_samples
        self._last[family] = event
        return event

    def _merge(self, merge: SpeakerMerged) -> SpeakerMerged | None:
        key = merge.from_speaker, merge.to_speaker
        if self._resumed and key in self._merges:
            return None
        self._merges[key] = merge
        return merge

    def _summary(self, summary: Summary) -> Summary:
        """The summary of all streams: it has what was told, and nothing else."""
        known = {one.speaker: one for one in summary.speakers}
        speakers = [
            replace(known.get(name, SpeakerSummary(name, 0)), talk_samples=self._talk[name])
            for name in sorted(self._talk, key=by_appearance)
        ]
        merges = {(one.from_speaker, one.to_speaker): one for one in summary.merges}
        return replace(
            summary,
            speakers=tuple(speakers),
            covered_samples=max(summary.covered_samples, self.final_until_samples),
            merges=tuple((self._merges | merges).values()),
        )

    def _activity_ends(self, activity: FrameActivity | None) -> tuple[int, int]:
        if activity is None:
            return self._speech_until, self._tracks_until
        frame = self._begin.frame_samples
        return (
            activity.speech_start_samples + len(activity.speech) * frame,
            activity.tracks_start_samples + len(activity.tracks) * frame,
        )

    def _new_frames(self, activity: FrameActivity | None) -> FrameActivity | None:
        """Frames from the end of those told on."""
        if activity is None:
            return None
        frame = max(1, self._begin.frame_samples)
        speech = max(0, -((activity.speech_start_samples - self._speech_until) // frame))
        tracks = max(0, -((activity.tracks_start_samples - self._tracks_until) // frame))
        ends = self._activity_ends(activity)
        self._speech_until = max(self._speech_until, ends[0])
        self._tracks_until = max(self._tracks_until, ends[1])
        return FrameActivity(
            activity.speech_start_samples + speech * frame,
            activity.speech[speech:],
            activity.tracks_start_samples + tracks * frame,
            activity.tracks[tracks:],
        )


_FAMILIES: Final = {
    SpeechEventKind.SPEECH_STARTED: "speech",
    SpeechEventKind.SPEECH_ENDED: "speech",
    SpeechEventKind.SPEAKER_CHANGED: "speaker",
    SpeechEventKind.OVERLAP_STARTED: "overlap",
    SpeechEventKind.OVERLAP_ENDED: "overlap",
}
_ENDS: Final = {SpeechEventKind.SPEECH_ENDED, SpeechEventKind.OVERLAP_ENDED}

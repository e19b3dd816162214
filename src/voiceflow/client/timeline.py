"""Puts the events of a stream together to who spoke when: pure.

Final regions partition the audio; the timeline refuses a stream that breaks this. Merges are
aliases: what was sent stays as it was sent, and `regions`, `turns` and everything written read
merged labels as one speaker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from voiceflow.client.events import (
    Begin,
    Event,
    FileResult,
    Region,
    SpeakerMerged,
    Summary,
    Turn,
    Update,
    seconds,
)
from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.turns import UNKNOWN

JSON_FORMAT = "voiceflow-timeline/1.0"


class Timeline:
    """Who spoke when, as far as it is known.

    Attributes:
        begin: How the stream began; None for a file's result.
        summary: How it ended; None while it goes on.
        covered_samples: Audio computed so far.
        final_until_samples: End of what is final.
    """

    def __init__(self) -> None:
        self.begin: Begin | None = None
        self.summary: Summary | None = None
        self.covered_samples = 0
        self.final_until_samples = 0
        self._regions: list[Region] = []
        self._turns: list[Turn] = []
        self._provisional: tuple[Turn, ...] = ()
        self._merges: dict[str, SpeakerMerged] = {}

    @classmethod
    def of_file(cls, result: FileResult) -> Timeline:
        """The timeline of a whole recording.

        Raises:
            VoiceFlowError: If the regions do not partition the audio.
        """
        timeline = cls()
        covered = result.summary.covered_samples
        timeline.add(Update(result.regions, result.turns, covered, covered))
        timeline.add(result.summary)
        return timeline

    def add(self, event: Event) -> None:
        """Takes the next event of the stream.

        Raises:
            VoiceFlowError: If final regions leave a gap, overlap, or end elsewhere than stated.
        """
        match event:
            case Begin():
                self.begin = event
            case Update():
                self._add_update(event)
            case SpeakerMerged():
                self._merges[event.from_speaker] = event
            case Summary():
                self._end(event)
            case _:
                pass

    @property
    def merges(self) -> tuple[SpeakerMerged, ...]:
        """Labels found to be one person, in the order in which they were."""
        return tuple(self._merges.values())

    def name_of(self, label: str) -> str:
        """The label that a label now reads as."""
        seen = {label}
        while (merge := self._merges.get(label)) and merge.to_speaker not in seen:
            label = merge.to_speaker
            seen.add(label)
        return label

    def regions(self) -> tuple[Region, ...]:
        """The final partition; neighbours differ in their speakers."""
        joined: list[Region] = []
        for region in self._regions:
            speakers = tuple(dict.fromkeys(self.name_of(label) for label in region.speakers))
            if joined and set(joined[-1].speakers) == set(speakers):
                start, speakers = joined[-1].start_samples, joined.pop().speakers
                joined.append(Region(start, region.end_samples, speakers))
            else:
                joined.append(Region(region.start_samples, region.end_samples, speakers))
        return tuple(joined)

    def turns(self) -> tuple[Turn, ...]:
        """The final turns that are complete, in order of their start."""
        return _joined(self._renamed(self._turns))

    def provisional_turns(self) -> tuple[Turn, ...]:
        """Turns that may still change, as the last update tells them."""
        return _joined(self._renamed(self._provisional))

    def talk_samples(self) -> dict[str, int]:
        """How long each speaker has spoken, by final regions; overlap counts for both.

        Speakers stand in order of appearance, `UNKNOWN` last.
        """
        talk: dict[str, int] = {}
        for region in self.regions():
            for speaker in region.speakers:
                length = region.end_samples - region.start_samples
                talk[speaker] = talk.get(speaker, 0) + length
        if UNKNOWN in talk:
            talk[UNKNOWN] = talk.pop(UNKNOWN)
        return talk

    def overlap_samples(self) -> int:
        """How long two spoke at once."""
        return sum(
            region.end_samples - region.start_samples
            for region in self.regions()
            if len(region.speakers) > 1
        )

    def to_rttm(self, name: str) -> str:
        """The turns in NIST's Rich Transcription Time Marked format, to the millisecond.

        Args:
            name: Of the recording; white space in it becomes `_`.
        """
        file_id = "_".join(name.split()) or "audio"
        lines = []
        for turn in self.turns():
            start = round(seconds(turn.start_samples), 3)
            length = round(seconds(turn.end_samples), 3) - start
            speaker = "_".join(turn.speaker.split())
            lines.append(
                f"SPEAKER {file_id} 1 {start:.3f} {length:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
            )
        return "".join(lines)

    def to_json(self, name: str) -> str:
        """Everything but voiceprints, which are personal data: to be asked for, not left in files.

        Args:
            name: Of the recording.
        """
        return json.dumps(self.as_dict(name), indent=2, ensure_ascii=False) + "\n"

    def as_dict(self, name: str) -> dict[str, Any]:
        """What `to_json` writes."""
        talk = self.talk_samples()
        return {
            "format": JSON_FORMAT,
            "audio": name,
            "duration_seconds": seconds(self.final_until_samples),
            "complete": self.summary is not None and self.summary.complete,
            "session": self.begin.session if self.begin else "",
            "model_version": self._model_version(),
            "overlap_seconds": seconds(self.overlap_samples()),
            "speakers": [
                {"speaker": speaker, "talk_seconds": seconds(samples)}
                for speaker, samples in talk.items()
            ],
            "turns": [
                {
                    "speaker": turn.speaker,
                    "start_seconds": seconds(turn.start_samples),
                    "end_seconds": seconds(turn.end_samples),
                    "confidence": round(turn.confidence, 3),
                }
                for turn in self.turns()
            ],
            "regions": [
                {
                    "start_seconds": seconds(region.start_samples),
                    "end_seconds": seconds(region.end_samples),
                    "speakers": list(region.speakers),
                }
                for region in self.regions()
            ],
            "merges": [
                {
                    "from": merge.from_speaker,
                    "to": merge.to_speaker,
                    "at_seconds": seconds(merge.at_samples),
                }
                for merge in self.merges
            ],
        }

    def _add_update(self, update: Update) -> None:
        for region in update.final_regions:
            if region.start_samples != self.final_until_samples or (
                region.end_samples <= region.start_samples
            ):
                raise _broken(
                    f"a final region spans {region.start_samples} to {region.end_samples} samples "
                    f"where one from {self.final_until_samples} on was due"
                )
            self.final_until_samples = region.end_samples
            self._regions.append(region)
        if update.final_until_samples != self.final_until_samples:
            raise _broken(
                f"final regions reach {self.final_until_samples} samples, "
                f"the update says {update.final_until_samples}"
            )
        self.covered_samples = update.covered_samples
        self._turns.extend(turn for turn in update.turns if turn.final)
        self._provisional = tuple(turn for turn in update.turns if not turn.final)

    def _end(self, summary: Summary) -> None:
        for merge in summary.merges:
            self._merges.setdefault(merge.from_speaker, merge)
        if summary.covered_samples != self.final_until_samples:
            raise _broken(
                f"the stream covers {summary.covered_samples} samples, "
                f"final regions end at {self.final_until_samples}"
            )
        self.summary = summary
        self._provisional = ()

    def _renamed(self, turns: Iterable[Turn]) -> list[Turn]:
        return [
            Turn(
                self.name_of(turn.speaker),
                turn.start_samples,
                turn.end_samples,
                turn.confidence,
                turn.final,
            )
            for turn in turns
        ]

    def _model_version(self) -> str:
        if self.summary is not None:
            return self.summary.model_version
        return self.begin.model_version if self.begin else ""


def _joined(turns: list[Turn]) -> tuple[Turn, ...]:
    """Turns in order of their start; touching ones of one speaker become one."""
    done: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.speaker, turn.start_samples)):
        if (
            done
            and done[-1].speaker == turn.speaker
            and (turn.start_samples <= done[-1].end_samples)
        ):
            done.append(_join(done.pop(), turn))
        else:
            done.append(turn)
    return tuple(sorted(done, key=lambda turn: (turn.start_samples, turn.speaker)))


def _join(first: Turn, second: Turn) -> Turn:
    """Both as one; confidence is weighted by length."""
    lengths = [turn.end_samples - turn.start_samples for turn in (first, second)]
    total = first.confidence * lengths[0] + second.confidence * lengths[1]
    return Turn(
        first.speaker,
        first.start_samples,
        max(first.end_samples, second.end_samples),
        total / max(1, sum(lengths)),
        first.final and second.final,
    )


def _broken(what: str) -> VoiceFlowError:
    return VoiceFlowError(what, reason="PARTITION_BROKEN")

"""Regions, turns and events as values, and how final regions add up to turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from voiceflow.pipeline.model import FloatArray

UNKNOWN = "UNKNOWN"
"""Label of a voice that is like nobody so far, and too short to be somebody new."""


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open span of audio with none, one or two speakers, in 16 kHz samples."""

    start_samples: int
    end_samples: int
    speakers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker from the start to the end of one stretch of speech, in 16 kHz samples.

    Attributes:
        confidence: How far this speaker's voice explains the turn better than any other's, 0 to 1.
        final: Whether the turn can still change.
    """

    speaker: str
    start_samples: int
    end_samples: int
    confidence: float
    final: bool


class SpeechEventKind(StrEnum):
    """What a `SpeechEvent` tells."""

    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    SPEAKER_CHANGED = "speaker_changed"
    OVERLAP_STARTED = "overlap_started"
    OVERLAP_ENDED = "overlap_ended"


@dataclass(frozen=True, slots=True)
class SpeechEvent:
    """Something that happened in the audio, noticed when more of it had been computed."""

    kind: SpeechEventKind
    at_samples: int
    noticed_at_samples: int
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class SpeakerMerged:
    """Two labels were found to be one person; from now on `from_speaker` reads `to_speaker`."""

    from_speaker: str
    to_speaker: str
    at_samples: int


Event = SpeechEvent | SpeakerMerged


@dataclass(frozen=True, slots=True)
class Prototype:
    """A unit vector that stands for a speaker, (dim,), and the speech behind it."""

    values: FloatArray = field(repr=False)
    speech_seconds: float


@dataclass(frozen=True, slots=True)
class SpeakerTalk:
    """What one speaker said in all, by final regions; overlap counts for both."""

    speaker: str
    talk_samples: int
    prototypes: tuple[Prototype, ...]


@dataclass(frozen=True, slots=True)
class HopResult:
    """What one hop has changed.

    Attributes:
        final_regions: The next piece of the partition of the audio.
        turns_final: Turns that became complete and final, in order of their end.
        turns_provisional: Turns now seen that reach past `final_until_samples`.
        events: In order of where they happened.
        covered_samples: Audio computed so far.
        final_until_samples: End of the final regions so far.
    """

    final_regions: tuple[Region, ...]
    turns_final: tuple[Turn, ...]
    turns_provisional: tuple[Turn, ...]
    events: tuple[Event, ...]
    covered_samples: int
    final_until_samples: int


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that has not ended.

    Attributes:
        weighted_confidence: Sum over its regions of length in samples times confidence.
    """

    speaker: str
    start_samples: int
    end_samples: int
    weighted_confidence: float


@dataclass(slots=True)
class _OpenTurn:
    start_samples: int
    end_samples: int
    weighted_confidence: float


class TurnBuilder:
    """Adds up the regions of a partition to turns: a turn ends where its speaker is absent."""

    def __init__(self) -> None:
        self._open: dict[str, _OpenTurn] = {}
        self.talk_samples: dict[str, int] = {}

    def push(self, region: Region, confidence: float) -> list[Turn]:
        """Takes the next region and the confidence of its first speaker.

        Returns:
            The turns that ended at its start.
        """
        ended = self._close([name for name in self._open if name not in region.speakers])
        length = region.end_samples - region.start_samples
        for name in region.speakers:
            turn = self._open.setdefault(
                name, _OpenTurn(region.start_samples, region.start_samples, 0.0)
            )
            turn.end_samples = region.end_samples
            turn.weighted_confidence += length * (0.0 if name == UNKNOWN else confidence)
            self.talk_samples[name] = self.talk_samples.get(name, 0) + length
        return ended

    def open_turns(self) -> tuple[OpenTurn, ...]:
        """The turns that go on, or end where the next region begins."""
        return tuple(
            OpenTurn(name, turn.start_samples, turn.end_samples, turn.weighted_confidence)
            for name, turn in self._open.items()
        )

    def resume(self, open_turns: Iterable[OpenTurn], talk_samples: Mapping[str, int]) -> None:
        """Goes on where another builder was."""
        self.talk_samples = dict(talk_samples)
        self._open = {
            turn.speaker: _OpenTurn(turn.start_samples, turn.end_samples, turn.weighted_confidence)
            for turn in open_turns
        }

    def finish(self) -> list[Turn]:
        """The turns that were open at the end of the audio."""
        return self._close(list(self._open))

    def provisional(self, regions: list[Region], confidence: float) -> list[Turn]:
        """The turns that would be open, or would have ended, if `regions` came next."""
        copy = TurnBuilder()
        copy.resume(self.open_turns(), {})
        turns = [turn for region in regions for turn in copy.push(region, confidence)]
        turns += copy.finish()
        return [
            Turn(turn.speaker, turn.start_samples, turn.end_samples, turn.confidence, final=False)
            for turn in turns
        ]

    def _close(self, names: list[str]) -> list[Turn]:
        turns = []
        for name in names:
            turn = self._open.pop(name)
            length = turn.end_samples - turn.start_samples
            confidence = round(turn.weighted_confidence / length, 3)
            turns.append(Turn(name, turn.start_samples, turn.end_samples, confidence, final=True))
        return sorted(turns, key=lambda turn: (turn.start_samples, turn.speaker))

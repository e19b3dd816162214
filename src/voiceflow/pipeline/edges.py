"""When speech starts and ends, and when a second voice sets in and stops."""

from __future__ import annotations

from voiceflow.artifact import OperatingPoint
from voiceflow.pipeline.activity import EdgeDetector
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import SpeechEventKind

SPEECH_ONSET_SECONDS = 0.08
OVERLAP_EDGE_SECONDS = 0.12


class SpeechEdges:
    """The edges of speech, which is heard without look-ahead, and of overlap, which is not.

    Args:
        point: Thresholds of the model.
        frame_seconds: Length of a frame.

    Attributes:
        speech: Whether anybody speaks.
        overlap: Whether two speak.
        overlap_edge_frames: So long two must speak, or only one, to be believed.
    """

    def __init__(self, point: OperatingPoint, frame_seconds: float) -> None:
        self._frame_seconds = frame_seconds
        self.overlap_edge_frames = self._frames_in(OVERLAP_EDGE_SECONDS)
        self.speech = EdgeDetector(
            point.speech_threshold,
            self._frames_in(SPEECH_ONSET_SECONDS),
            self._frames_in(point.speech_end_seconds),
        )
        self.overlap = EdgeDetector(
            point.overlap_threshold, self.overlap_edge_frames, self.overlap_edge_frames
        )

    def adopt(self, point: OperatingPoint) -> None:
        """Goes on with other thresholds."""
        self.speech.adopt(point.speech_threshold, self._frames_in(point.speech_end_seconds))
        self.overlap.adopt(point.overlap_threshold, self.overlap_edge_frames)

    def push(
        self, speech: FloatArray, second_voice: FloatArray
    ) -> list[tuple[SpeechEventKind, int]]:
        """The edges in the next frames, (frames,) each, and at which frame of the stream."""
        kind = SpeechEventKind
        return [
            (kind.SPEECH_STARTED if edge.rising else kind.SPEECH_ENDED, edge.frame)
            for edge in self.speech.push(speech)
        ] + [
            (kind.OVERLAP_STARTED if edge.rising else kind.OVERLAP_ENDED, edge.frame)
            for edge in self.overlap.push(second_voice)
        ]

    def ends(self, frame: int) -> list[tuple[SpeechEventKind, int]]:
        """The edges of a stream that ends at a frame."""
        kind = SpeechEventKind
        open_edges = ((self.speech, kind.SPEECH_ENDED), (self.overlap, kind.OVERLAP_ENDED))
        return [(end, frame) for detector, end in open_edges if detector.active]

    def _frames_in(self, seconds: float) -> int:
        return max(1, round(seconds / self._frame_seconds))

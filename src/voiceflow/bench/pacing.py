"""When a paced stream sends what, and which message a reply was waiting for. Pure."""

from __future__ import annotations

from voiceflow.artifact import SAMPLE_RATE_HERTZ

SAMPLE_BYTES = 2
"""Of PCM16, which all load is."""


def message_samples(message_milliseconds: int) -> int:
    """Samples in a message."""
    return message_milliseconds * SAMPLE_RATE_HERTZ // 1000


def stagger_seconds(number: int, streams: int, period_seconds: float) -> float:
    """How long after the first a stream begins: all are spread evenly over a period."""
    return number * period_seconds / streams


def due_seconds(message: int, message_milliseconds: int) -> float:
    """When a message is spoken, from the start of its stream: with its last sample."""
    return (message + 1) * message_milliseconds / 1000


def completing_message(covered_samples: int, samples: int, messages: int) -> int:
    """The message, of those sent, whose last sample an Update up to there was waiting for.

    Args:
        covered_samples: Audio that the Update covers.
        samples: In a message.
        messages: Sent so far; what is covered beyond them was waiting for the end of the audio.
    """
    return min(-(-covered_samples // samples), messages) - 1


def place_bytes(number: int, streams: int, audio_bytes: int, length_bytes: int) -> int:
    """Where in the audio the stream of this number begins, so that no two hear the same."""
    return number * (audio_bytes - length_bytes) // streams // SAMPLE_BYTES * SAMPLE_BYTES

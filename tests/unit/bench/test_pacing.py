"""When a paced stream sends what, and what a reply was waiting for."""

from __future__ import annotations

import pytest

from voiceflow.bench.pacing import (
    completing_message,
    due_seconds,
    message_samples,
    place_bytes,
    stagger_seconds,
)


def test_a_message_is_due_when_its_last_sample_was_spoken() -> None:
    """As a microphone gives it, and not when it begins."""
    assert [due_seconds(number, 80) for number in range(3)] == pytest.approx([0.08, 0.16, 0.24])
    assert message_samples(80) == 1280


def test_streams_begin_evenly_over_a_period() -> None:
    """The last one a step before the first one's next hop."""
    begun = [stagger_seconds(number, 4, 0.48) for number in range(4)]
    assert begun == pytest.approx([0.0, 0.12, 0.24, 0.36])


@pytest.mark.parametrize(
    ("covered", "sent", "message"),
    [
        (7680, 6, 5),  # a hop that ends with a message
        (7680, 9, 5),  # and others have been sent since
        (7700, 9, 6),  # one that ends within the next
        (1, 1, 0),
        (9000, 6, 5),  # what the end of the audio has completed
    ],
)
def test_a_reply_waited_for_the_last_message_that_it_needs(
    covered: int, sent: int, message: int
) -> None:
    """Never for one that was not sent."""
    assert completing_message(covered, 1280, sent) == message


def test_streams_hear_different_audio_from_whole_samples_on() -> None:
    """And none runs over the end."""
    places = [place_bytes(number, 3, 1001, 400) for number in range(3)]
    assert places == [0, 200, 400]
    assert all(place % 2 == 0 and place + 400 <= 1001 for place in places)

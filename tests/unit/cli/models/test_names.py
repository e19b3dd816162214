"""Names may be typed short or in full, and mean the same."""

from __future__ import annotations

import pytest

from voiceflow.cli.models.names import (
    any_name,
    channel_name,
    model_name,
    short,
    version_name,
    version_of,
)
from voiceflow.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("diarizer", "models/diarizer"),
        ("models/diarizer", "models/diarizer"),
        ("diarizer@1.2.0-rc.1", "models/diarizer/versions/1.2.0-rc.1"),
        ("models/diarizer/versions/1.2.0", "models/diarizer/versions/1.2.0"),
        ("diarizer/stable", "models/diarizer/channels/stable"),
        ("models/diarizer/channels/stable", "models/diarizer/channels/stable"),
    ],
)
def test_both_forms_are_read(text: str, full: str) -> None:
    """And written short again."""
    assert str(any_name(text)) == full
    assert str(any_name(short(full))) == full


@pytest.mark.parametrize(
    "text",
    ["", "Diarizer", "diarizer@", "@1.0.0", "diarizer@1.0", "diarizer@1.0.0+b", "a/b/c", "models/"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidInput, match="allowed is") as caught:
        any_name(text)
    assert caught.value.reason == "NAME_INVALID"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (version_name, "diarizer"),
        (version_name, "diarizer/stable"),
        (channel_name, "diarizer"),
        (channel_name, "diarizer@1.0.0"),
        (model_name, "diarizer/stable"),
    ],
)
def test_a_name_of_another_kind_is_refused(read: object, text: str) -> None:
    """A version is not taken for a channel."""
    assert callable(read)
    with pytest.raises(InvalidInput):
        read(text)


def test_a_channel_alone_is_that_of_a_known_model() -> None:
    """A full name stands for itself."""
    assert str(channel_name("stable", "diarizer")) == "models/diarizer/channels/stable"
    assert str(channel_name("other/stable", "diarizer")) == "models/other/channels/stable"


def test_versions_are_shown_by_their_number() -> None:
    """In tables of one channel."""
    assert version_of("models/diarizer/versions/1.2.0") == "1.2.0"
    assert short("models/diarizer/channels/stable/promotions/3") == "diarizer/stable"
    assert short("pods/a-1") == "a-1"

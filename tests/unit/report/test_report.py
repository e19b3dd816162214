"""The report page and the audio that it carries."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from voiceflow.client import (
    UNKNOWN,
    AudioFormat,
    Encoding,
    Region,
    Summary,
    Timeline,
    Turn,
    Update,
)
from voiceflow.report import AudioKeeper, PageAudio, render_report
from voiceflow.report.page import clock

MODEL = "models/diarizer/versions/1.0.0"
HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(2)>.wav'


def kept(samples: np.ndarray, audio_format: AudioFormat, piece: int = 1000) -> PageAudio:
    """The page's audio of float samples, (samples, channels)."""
    raw = samples.astype("<f4").tobytes()
    size = piece * audio_format.frame_bytes
    with AudioKeeper(audio_format) as keeper:
        for at in range(0, len(raw), size):
            keeper.keep(raw[at : at + size])
        return keeper.finish()


def conversation() -> Timeline:
    """Two speakers, some overlap, and somebody unknown; three seconds."""
    timeline = Timeline()
    regions = (
        Region(0, 16_000, ("S1",)),
        Region(16_000, 20_000, ("S1", "S2")),
        Region(20_000, 32_000, ("S2",)),
        Region(32_000, 40_000, ()),
        Region(40_000, 48_000, (UNKNOWN,)),
    )
    turns = (
        Turn("S1", 0, 20_000, 0.9, final=True),
        Turn("S2", 16_000, 32_000, 0.8, final=True),
        Turn(UNKNOWN, 40_000, 48_000, 0.0, final=True),
    )
    timeline.add(Update(regions, turns, 48_000, 48_000))
    timeline.add(Summary((), 48_000, complete=True, merges=(), model_version=MODEL))
    return timeline


SILENCE = kept(np.zeros((48_000, 1)), AudioFormat(Encoding.FLOAT32, 16_000))


class Page(HTMLParser):
    """What a browser sees: elements, attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the element."""
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        """Notes the text of a script."""
        if self.elements and self.elements[-1][0] == "script" and not self.scripts[-1]:
            self.scripts[-1] = data


def test_a_hostile_name_does_not_become_an_element() -> None:
    """Names of files and speakers are text, in the markup and in the data."""
    timeline = conversation()
    timeline.add(Update((Region(48_000, 49_000, (HOSTILE,)),), (), 49_000, 49_000))
    page = Page(render_report(timeline, HOSTILE, SILENCE))
    assert len(page.scripts) == 2
    assert not any(tag == "img" for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert json.loads(page.scripts[0])["speakers"][-2]["name"] == HOSTILE


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    """The policy names the digest of the one script and allows no source at all."""
    text = render_report(conversation(), "a.wav", SILENCE)
    page = Page(text)
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    (policy,) = (a["content"] for t, a in page.elements if a.get("http-equiv"))
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No element refers to anything outside; no address of a host stands in it."""
    text = render_report(conversation(), "a.wav", SILENCE)
    assert not any(name in {"src", "href", "srcset"} for _, a in Page(text).elements for name in a)
    assert not re.search(r"https?://", text)
    assert "@import" not in text


def test_the_page_says_what_the_timeline_says() -> None:
    """Every turn has a row, every speaker a lane; overlap and the unknown voice are there."""
    page = Page(render_report(conversation(), "a.wav", SILENCE))
    data = json.loads(page.scripts[0])
    assert [speaker["name"] for speaker in data["speakers"]] == ["S1", "S2", UNKNOWN]
    assert data["speakers"][2]["colour"] == "unknown"
    assert data["turns"] == [[0, 0.0, 1.25], [1, 1.0, 2.0], [2, 2.5, 3.0]]
    assert [1.0, 1.25, 0, 1] in data["regions"]
    assert sum("data-turn" in a for _, a in page.elements) == 3


def test_a_recording_in_which_nobody_speaks_has_a_report() -> None:
    """Without lanes and turns, and without dividing by nothing."""
    timeline = Timeline()
    timeline.add(Summary((), 0, complete=False, merges=(), model_version=MODEL))
    empty = kept(np.zeros((0, 1)), AudioFormat(Encoding.FLOAT32, 16_000))
    text = render_report(timeline, "a.wav", empty)
    assert "Nobody was heard." in text
    assert "cut off before its end" in text


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_kept_audio_is_as_long_as_what_was_sent(rate: int) -> None:
    """Whatever its rate; it can be played, and its envelope has a value for every 20 ms."""
    time = np.arange(rate * 2)[:, None] / rate
    audio = kept(0.001 * np.sin(2 * np.pi * 440 * time), AudioFormat(Encoding.FLOAT32, rate))
    assert audio.duration_seconds == pytest.approx(2.0, abs=0.01)
    assert len(audio.envelope) == pytest.approx(100, abs=1)
    samples, page_rate = soundfile.read(io.BytesIO(audio.mp3))
    assert len(samples) / page_rate == pytest.approx(2.0, abs=0.15)
    assert np.max(np.abs(samples)) > 0.05, "faint recordings are made audible"


def test_kept_audio_is_the_channel_that_was_heard() -> None:
    """The other channel is not in the page."""
    time = np.arange(16_000) / 16_000
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * time), np.zeros(16_000)], 1)
    silent = kept(stereo, AudioFormat(Encoding.FLOAT32, 16_000, 2, 1))
    assert max(silent.envelope) == 0
    heard = kept(stereo, AudioFormat(Encoding.FLOAT32, 16_000, 2, 0))
    assert max(heard.envelope) > 100


def test_audio_that_begins_again_is_kept_once() -> None:
    """A recording that is sent a second time is not in the page twice."""
    piece = np.zeros(16_000, "<f4").tobytes()
    with AudioKeeper(AudioFormat(Encoding.FLOAT32, 16_000)) as keeper:
        keeper.keep(piece)
        keeper.restart()
        keeper.keep(piece)
        assert keeper.finish().duration_seconds == 1.0


@pytest.mark.parametrize(
    ("at", "text"),
    [(0.0, "0:00.0"), (59.96, "1:00.0"), (62.34, "1:02.3"), (3600.0, "1:00:00.0")],
)
def test_a_clock_carries_over(at: float, text: str) -> None:
    """Rounding never shows sixty seconds."""
    assert clock(at) == text

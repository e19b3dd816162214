"""Renders the report: one HTML document that needs nothing else.

A file's name cannot become code: Jinja escapes it, and the page's own policy runs no script but
the one whose digest it states.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from voiceflow.client.events import Turn, seconds
from voiceflow.client.timeline import Timeline
from voiceflow.pipeline.turns import UNKNOWN
from voiceflow.report.audio import ENVELOPE_HERTZ, PageAudio

_COLOURS = 10
"""So many speakers have a colour of their own; then they come again."""


def render_report(timeline: Timeline, name: str, audio: PageAudio) -> str:
    """The page, as one HTML document.

    Args:
        timeline: Who spoke when.
        name: Of the recording; shown, never trusted.
        audio: The recording.
    """
    talk = timeline.talk_samples()
    lanes = {speaker: index for index, speaker in enumerate(talk)}
    turns = tuple(turn for turn in timeline.turns() if turn.speaker in lanes)
    colours = _colours(talk)
    duration = max(audio.duration_seconds, seconds(timeline.final_until_samples))
    script = _text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = {
        "duration": duration,
        "speakers": [
            {"name": speaker, "colour": colour}
            for speaker, colour in zip(talk, colours, strict=True)
        ],
        "turns": [
            [lanes[turn.speaker], seconds(turn.start_samples), seconds(turn.end_samples)]
            for turn in turns
        ],
        "regions": [
            [
                seconds(region.start_samples),
                seconds(region.end_samples),
                *(lanes[speaker] for speaker in region.speakers),
            ]
            for region in timeline.regions()
            if region.speakers
        ],
        "envelopeHertz": ENVELOPE_HERTZ,
        "envelope": base64.b64encode(audio.envelope).decode(),
        "audio": base64.b64encode(audio.mp3).decode(),
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["clock"] = clock
    template = environment.from_string(_text("report.html.j2"))
    return template.render(
        name=name,
        summary=_summary(timeline, turns, duration),
        speakers=_speaker_rows(talk, turns),
        turns=[_turn_row(turn, colours[lanes[turn.speaker]]) for turn in turns],
        duration=duration,
        data=data,
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=digest,
        style=Markup(_text("report.css")),  # noqa: S704 - our own file
    )


def clock(at_seconds: float, decimals: int = 1) -> str:
    """`1:02.5`, and `1:00:02.5` from an hour on."""
    scaled = round(at_seconds * 10**decimals)
    whole, part = divmod(scaled, 10**decimals)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{part:0{decimals}d}" if decimals else ""
    return f"{hours}:{minutes:02d}:{rest:02d}{tail}" if hours else f"{minutes}:{rest:02d}{tail}"


def _summary(timeline: Timeline, turns: tuple[Turn, ...], duration: float) -> list[str]:
    named = [speaker for speaker in timeline.talk_samples() if speaker != UNKNOWN]
    speech = sum(
        region.end_samples - region.start_samples
        for region in timeline.regions()
        if region.speakers
    )
    overlap = 100.0 * timeline.overlap_samples() / speech if speech else 0.0
    facts = [
        clock(duration),
        _count(len(named), "speaker"),
        _count(len(turns), "turn"),
        f"{overlap:.0f} % of speech overlapped",
    ]
    if timeline.summary is not None:
        version = timeline.summary.model_version
        facts.append(version.removeprefix("models/").replace("/versions/", " "))
    if timeline.summary is None or not timeline.summary.complete:
        facts.append("cut off before its end")
    return facts


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _speaker_rows(talk: dict[str, int], turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    total = sum(talk.values()) or 1
    longest = max(talk.values(), default=1)
    rows = []
    for (speaker, samples), colour in zip(talk.items(), _colours(talk), strict=True):
        own = [
            seconds(turn.end_samples - turn.start_samples)
            for turn in turns
            if turn.speaker == speaker
        ]
        rows.append(
            {
                "name": speaker,
                "colour": colour,
                "talk_seconds": seconds(samples),
                "share_percent": 100.0 * samples / total,
                "bar_percent": 100.0 * samples / longest,
                "turns": len(own),
                "longest_seconds": max(own, default=0.0),
            }
        )
    return rows


def _turn_row(turn: Turn, colour: str) -> dict[str, Any]:
    return {
        "speaker": turn.speaker,
        "colour": colour,
        "start_seconds": seconds(turn.start_samples),
        "length_seconds": seconds(turn.end_samples - turn.start_samples),
        "confidence_percent": 100.0 * min(1.0, max(0.0, turn.confidence)),
    }


def _colours(talk: dict[str, int]) -> list[str]:
    """The CSS class of each speaker's colour."""
    return [
        "unknown" if speaker == UNKNOWN else f"voice{index % _COLOURS}"
        for index, speaker in enumerate(talk)
    ]


def _text(name: str) -> str:
    return resources.files("voiceflow.report").joinpath(name).read_text(encoding="utf-8")

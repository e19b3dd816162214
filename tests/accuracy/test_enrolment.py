"""The default model knows enrolled people again, and takes few strangers for them: real voices."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.paths import DEFAULT_MODEL, SPEECH
from benchmarks.service import running_service
from voiceflow.client import DiarizationClient, EnrolledSpeaker, FileResult, StreamConfig
from voiceflow.client.audio import open_recording
from voiceflow.client.enrolling import enrol
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import read_audio
from voiceflow.pipeline.model import FloatArray

MINIMUM_NAMED_SHARE = 0.5
"""Of the speech of those who are enrolled."""

MAXIMUM_MISNAMED_SHARE = 0.15
"""Of strangers' speech: what has the name of anybody who is enrolled."""

VOICES = SPEECH / "eval" / "librispeech"
SECOND = 16_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VOICES.exists(), reason="needs ../shared/speech, absent here"),
]


def utterances(speaker: Path) -> list[FloatArray]:
    """What one person says, (samples,) each."""
    return [read_audio(path) for path in sorted(speaker.iterdir())]


def conversation(people: list[list[FloatArray]], seed: int) -> tuple[FloatArray, list[int]]:
    """Turns of one to five seconds in random order; (samples,), and who speaks in each 10 ms."""
    random = np.random.default_rng(seed)
    speech = [np.concatenate(own) for own in people]
    at = [0] * len(people)
    pieces, truth = [], []
    for who in random.permutation(np.repeat(np.arange(len(people)), 5)).tolist():
        length = int(random.uniform(100, 500)) * 160
        turn = speech[who][at[who] : at[who] + length]
        at[who] += length
        pieces += [turn, np.zeros(48 * 160, np.float32)]
        truth += [who] * (len(turn) // 160) + [-1] * 48
    return np.concatenate(pieces), truth


def counted(result: FileResult, truth: list[int], names: list[str]) -> Counter[str]:
    """Frames of speech: of enrolled people and of strangers, and how many have which name."""
    heard: Counter[str] = Counter()
    for region in result.regions:
        for frame in range(region.start_samples // 160, region.end_samples // 160):
            who = truth[frame] if frame < len(truth) else -1
            if who == -1 or not region.speakers:
                continue
            kind = "enrolled" if who < len(names) else "stranger"
            heard[kind] += 1
            if kind == "enrolled" and region.speakers[0] == names[who]:
                heard["named"] += 1
            if kind == "stranger" and region.speakers[0] in names:
                heard["misnamed"] += 1
    return heard


async def test_enrolled_people_are_called_by_name_and_strangers_are_not(tmp_path: Path) -> None:
    """Enrolled by one recording, heard in others; two strangers speak as much as they do."""
    speakers = [utterances(speaker) for speaker in sorted(VOICES.iterdir())]
    names = ["Ann", "Bob"]
    heard: Counter[str] = Counter()
    with running_service(DEFAULT_MODEL) as service:
        async with DiarizationClient(service.address) as client:
            for seed in range(8):
                order = np.random.default_rng(seed).permutation(len(speakers))[:4]
                people = [speakers[number] for number in order]
                enrolled: list[EnrolledSpeaker] = []
                for name, own in zip(names, people, strict=False):
                    path = tmp_path / f"{seed}-{name}.wav"
                    soundfile.write(path, np.concatenate(own[:2])[: 15 * SECOND], SECOND)
                    try:
                        voice = await enrol(client, open_recording(path), name)
                    except InvalidInput:  # what the model takes for two people's
                        break
                    enrolled.append(voice.speaker)
                if len(enrolled) < len(names):
                    continue
                samples, truth = conversation([own[2:] for own in people], seed)
                path = tmp_path / f"{seed}.wav"
                soundfile.write(path, samples, SECOND)
                source = open_recording(path)
                config = StreamConfig(source.audio_format, enrolled_speakers=tuple(enrolled))
                result = await client.diarize_file(partial(source.pieces, 5.0), config)
                heard += counted(result, truth, names)
    assert heard["enrolled"] > 60 * 100, "a minute of them"
    named = heard["named"] / heard["enrolled"]
    misnamed = heard["misnamed"] / heard["stranger"]
    assert named >= MINIMUM_NAMED_SHARE, heard
    assert misnamed <= MAXIMUM_MISNAMED_SHARE, heard

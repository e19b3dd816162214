"""A resume token holds a stream, for its client alone, for its time, and shows nothing of it."""

from __future__ import annotations

import logging
import traceback
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.cutting import SCRIPTS, Script
from tests.unit.pipeline.synthetic import (
    DIM,
    conversation,
    manifest,
    stream,
    voice,
)
from voiceflow.errors import InvalidInput
from voiceflow.identity.key_set import KeySet, SealingKey
from voiceflow.identity.sealing import MAXIMUM_SEALED_BYTES, Sealer
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.snapshot import LEAST_CONTEXT_SAMPLES, Snapshot
from voiceflow.pipeline.turns import Prototype
from voiceflow_inference import resuming
from voiceflow_inference.resuming import ResumeTokens

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
KEY = SealingKey.generate()


class Clock:
    """A time of day that is set."""

    now = NOW

    def __call__(self) -> datetime:
        """Now."""
        return self.now


def sealer(*keys: SealingKey) -> Sealer:
    """Seals with the first."""
    return Sealer(lambda: KeySet({}, keys))


def tokens(clock: Clock | None = None, *keys: SealingKey) -> ResumeTokens:
    """Valid for ten minutes."""
    return ResumeTokens(sealer(*(keys or (KEY,))), 600, clock or Clock())


def snapshot_of(script: Script, context_samples: int = LEAST_CONTEXT_SAMPLES) -> Snapshot:
    """Of a whole conversation."""
    diarizer = StreamDiarizer(manifest())
    stream(conversation(script), diarizer)
    return diarizer.snapshot(context_samples)


SNAPSHOT = snapshot_of([(4.0, (1,)), (4.0, (2,)), (0.5, (3,)), (2.0, (1, 2))], 10 * 16_000)
TOKEN = tokens().make("meeting", "alice", DIGEST, SNAPSHOT)


def refusal(token: bytes, principal: str = "alice", by: ResumeTokens | None = None) -> InvalidInput:
    """What a token is refused with."""
    with pytest.raises(InvalidInput) as caught:
        (by or tokens()).read(token, principal)
    assert caught.value.field == "config.resume_token"
    assert caught.value.__cause__ is None
    return caught.value


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, session=st.text("abcXYZ09._-", min_size=1, max_size=128))
def test_what_a_token_holds_comes_back_as_it_was(script: Script, session: str) -> None:
    """To the last bit, for any stream."""
    snapshot = snapshot_of(script)
    token = tokens().make(session, "spiffe://mesh/alice", DIGEST, snapshot)
    resumption = tokens().read(token, "spiffe://mesh/alice")
    assert resumption.snapshot == snapshot
    assert (resumption.session, resumption.model_digest) == (session, DIGEST)


def test_a_token_is_no_one_elses() -> None:
    """Another principal cannot go on with the stream, though the token is genuine."""
    assert refusal(TOKEN, "mallory").reason == "RESUME_TOKEN_INVALID"
    assert refusal(TOKEN, "").reason == "RESUME_TOKEN_INVALID"
    assert refusal(TOKEN, "alic").reason == "RESUME_TOKEN_INVALID"


def test_a_token_opens_for_its_time() -> None:
    """To the last second of ten minutes, and no longer."""
    clock = Clock()
    clock.now = NOW + timedelta(seconds=599)
    assert tokens(clock).read(TOKEN, "alice").session == "meeting"
    clock.now = NOW + timedelta(seconds=600)
    assert refusal(TOKEN, by=tokens(clock)).reason == "RESUME_TOKEN_EXPIRED"


def test_a_token_opens_wherever_its_key_is() -> None:
    """On another server with the same key, also where a newer key seals; nowhere else."""
    newer = SealingKey.generate()
    assert tokens(None, newer, KEY).read(TOKEN, "alice").session == "meeting"
    assert refusal(TOKEN, by=tokens(None, newer)).reason == "RESUME_TOKEN_INVALID"


@pytest.mark.parametrize("place", [0, 5, 20, 60, len(TOKEN) // 2, len(TOKEN) - 1])
def test_a_changed_token_is_none(place: int) -> None:
    """A bit anywhere."""
    changed = bytearray(TOKEN)
    changed[place] ^= 1
    assert refusal(bytes(changed)).reason == "RESUME_TOKEN_INVALID"


@pytest.mark.parametrize("token", [b"", b"x", b"\x01" * 100, bytes(MAXIMUM_SEALED_BYTES + 1)])
def test_bytes_that_are_no_token_are_refused(token: bytes) -> None:
    """Whatever a client sends in its place."""
    assert refusal(token).reason == "RESUME_TOKEN_INVALID"


def sealed(content: bytes) -> bytes:
    """A genuine token with any content."""
    return sealer(KEY).seal(
        content,
        bound_to=b"voiceflow stream\0alice",
        expire_time=NOW + timedelta(seconds=600),
    )


def packed(text: bytes) -> bytes:
    """A content with this JSON."""
    compressed = zlib.compress(text)
    return len(compressed).to_bytes(4, "big") + compressed


def test_a_token_of_another_version_of_the_software_is_refused_and_not_shown() -> None:
    """Genuine, and not to be read: neither the error nor what caused it shows what it holds."""
    good = resuming._pack(resuming._Content(resuming._VERSION, "meeting", DIGEST, SNAPSHOT))
    assert tokens().read(sealed(good), "alice").snapshot == SNAPSHOT
    newer = resuming._pack(resuming._Content(resuming._VERSION + 1, "meeting", DIGEST, SNAPSHOT))
    for content in (
        newer,
        b"",
        b"\0\0\0\4abcd",
        packed(b"secret"),
        packed(b'{"version": 1, "session": "secret"}'),
        packed(b"[" * 100_000),
        good[: len(good) // 3],
    ):
        error = refusal(sealed(content))
        assert error.reason == "RESUME_TOKEN_INVALID"
        assert "secret" not in "".join(traceback.format_exception(error))


def test_a_content_that_would_grow_without_end_is_refused() -> None:
    """A few bytes that would become many: too much is not unpacked, well-formed or not."""
    good = resuming._pack(resuming._Content(resuming._VERSION, "meeting", DIGEST, SNAPSHOT))
    end = 4 + int.from_bytes(good[:4], "big")
    text = zlib.decompress(good[4:end])
    resumption = tokens().read(sealed(packed(b" " * 1000 + text) + good[end:]), "alice")
    assert resumption.snapshot == SNAPSHOT
    bomb = packed(b" " * 8_000_000 + text) + good[end:]
    assert len(bomb) < 50_000
    assert refusal(sealed(bomb)).reason == "RESUME_TOKEN_INVALID"


def test_without_a_sealing_key_no_tokens_are_given() -> None:
    """The stream goes on all the same, and its tokens are empty."""
    none = ResumeTokens(Sealer(lambda: KeySet({}, ())), 600)
    assert not none.given
    assert none.make("meeting", "alice", DIGEST, SNAPSHOT) == b""
    assert tokens().given
    assert refusal(TOKEN, by=none).reason == "RESUME_TOKEN_INVALID"


def test_a_token_that_nobody_would_open_is_not_given() -> None:
    """One that has grown past the limit."""
    names = tuple(str(number) for number in np.random.default_rng(0).integers(0, 2**63, 150_000))
    huge = replace(SNAPSHOT, names=names)
    assert tokens().make("meeting", "alice", DIGEST, huge) == b""


def test_a_token_does_not_grow_with_its_stream() -> None:
    """Twenty voices for ten minutes: bounded by what a stream remembers of voices."""
    script: Script = [(2.0, (number,)) for number in range(20)]
    frames = conversation(script * 15)
    diarizer = StreamDiarizer(manifest())
    sizes = []
    for start in range(0, len(frames.speech), 12):
        hop = slice(start, start + 12)
        diarizer.push(Frames(frames.speech[hop], frames.activity[hop], frames.embedding[hop]))
        if start % 1500 == 0:
            snapshot = diarizer.snapshot(30 * 16_000)
            sizes.append(len(tokens().make("meeting", "alice", DIGEST, snapshot)))
    most_voices = 20 * 2 + 4 + 1 + 96
    assert sizes[0] < max(sizes) < most_voices * DIM * 2 + 4_000
    assert max(sizes[4:]) < sizes[4] * 1.05


def test_who_is_enrolled_goes_along_in_a_token_of_bounded_size() -> None:
    """Twenty people with long names and two prototypes each, all of whom speak for minutes."""
    people = [
        EnrolledSpeaker(
            f"{number:02}{chr(0x1F600 + number) * 62}",
            tuple(Prototype(voice(one), 60.0) for one in (number, number + 100)),
        )
        for number in range(20)
    ]
    diarizer = StreamDiarizer(manifest(), enrolled=people)
    script: Script = [(2.0, (number,)) for number in range(20)]
    stream(conversation(script * 4), diarizer)
    snapshot = diarizer.snapshot(30 * 16_000)
    token = tokens().make("meeting", "alice", DIGEST, snapshot)
    most_voices = 20 * 2 + 4 + 1 + 96 + 20 * 2
    assert len(token) < most_voices * DIM * 2 + 8_000
    resumed = tokens().read(token, "alice").snapshot
    assert resumed == snapshot
    assert resumed.enrolled_names == tuple(one.name for one in people)


def test_what_is_said_of_a_resumption_shows_no_voice(caplog: pytest.LogCaptureFixture) -> None:
    """Neither its repr nor the log."""
    caplog.set_level(logging.DEBUG)
    resumption = tokens().read(TOKEN, "alice")
    refusal(TOKEN, "mallory")
    assert repr(resumption) == f"Resumption(session='meeting', model_digest='{DIGEST}')"
    assert not caplog.records


def test_vectors_go_into_a_token_as_they_are() -> None:
    """What cannot be compressed is not compressed, which would take longer than all the rest."""
    content = resuming._pack(resuming._Content(resuming._VERSION, "meeting", DIGEST, SNAPSHOT))
    assert content.endswith(SNAPSHOT.voices.table.directions)

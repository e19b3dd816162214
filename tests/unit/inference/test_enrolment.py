"""What a client says of voices that it knows is checked, and the field at fault is named."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.test_stream_config import PLAIN, RESUMPTION, SERVED
from tests.unit.pipeline.synthetic import DIM, manifest, voice
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput
from voiceflow_inference import messages
from voiceflow_inference.enrolment import SentPrototype, SentSpeaker, VoiceSpace, check_enrolled
from voiceflow_inference.stream_config import check

SPACE = VoiceSpace.of(manifest())


def prototype(
    values: Sequence[float] | None = None, space: str = "synthetic-1", seconds: float = 3.0
) -> SentPrototype:
    """Of the first voice."""
    return SentPrototype(space, voice(1).tolist() if values is None else values, seconds)


def person(name: str = "Ann", *prototypes: SentPrototype) -> SentSpeaker:
    """With one good prototype, unless others are given."""
    return SentSpeaker(name, prototypes or (prototype(),))


def people(count: int) -> tuple[SentSpeaker, ...]:
    """With a voice each."""
    return tuple(
        person(f"P{number}", prototype(np.eye(DIM)[number].tolist())) for number in range(count)
    )


def refusal(*speakers: SentSpeaker, maximum: int = 20) -> tuple[str, str]:
    """Reason and field of the error."""
    with pytest.raises(InvalidInput) as caught:
        check_enrolled(speakers, SPACE, maximum)
    assert caught.value.field is not None
    return caught.value.reason, caught.value.field.removeprefix("config.enrolled_speakers")


def test_good_ones_are_taken_as_they_are() -> None:
    """In order, with unit vectors, whatever script the name is in."""
    names = ["Ann Lee", "李小龙", "S", "Jean-Luc O'Neil", "x" * 64]
    sent = [replace(one, name=name) for one, name in zip(people(5), names, strict=True)]
    long = prototype((voice(1) * 1.009).tolist())
    enrolled = check_enrolled([*sent, person("Bob", long, prototype())], SPACE, 20)
    assert [one.name for one in enrolled] == [*names, "Bob"]
    assert [len(one.prototypes) for one in enrolled] == [1] * 5 + [2]
    assert np.linalg.norm(enrolled[-1].prototypes[0].values) == pytest.approx(1.0, abs=1e-6)
    assert enrolled[-1].prototypes[0].values.dtype == np.float32
    assert enrolled[-1].prototypes[0].speech_seconds == 3.0


@pytest.mark.parametrize(
    "name",
    [
        *("", "x" * 65, "S1", "S042", "UNKNOWN"),
        *("a\nb", "a\tb", "a\x1b[2J", "a\u202eb", "a\u2028b", "\ufeffa"),
        *(" a", "a ", " "),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    """Nor one that a stranger could get."""
    assert refusal(*people(2), person(name)) == ("ENROLLED_NAME_INVALID", "[2].name")


def test_a_name_is_given_once() -> None:
    """Also to people with different voices."""
    one, two = people(2)
    assert refusal(one, replace(two, name=one.name)) == ("ENROLLED_NAME_INVALID", "[1].name")


def test_no_error_holds_a_name() -> None:
    """It is personal data, and errors are logged by whoever gets them."""
    unheard_of = "Rumpelstiltskin"
    for bad in (
        (person(f"{unheard_of}\n"),),
        (person(unheard_of), person(unheard_of)),
        (SentSpeaker(unheard_of, ()),),
        (person(unheard_of, prototype([1.0])),),
        (person(unheard_of, prototype(space="synthetic-2")),),
        (person("Ann"), person(unheard_of)),
    ):
        with pytest.raises(InvalidInput) as caught:
            check_enrolled(bad, SPACE, 20)
        assert unheard_of not in caught.value.message


def test_there_are_no_more_than_the_stream_may_have() -> None:
    """As many are fine; the client's own maximum counts, and so does the server's."""
    assert len(check_enrolled(people(20), SPACE, 20)) == 20
    assert refusal(*people(21)) == ("ENROLLED_SPEAKERS_TOO_MANY", "")
    assert refusal(*people(3), maximum=2) == ("ENROLLED_SPEAKERS_TOO_MANY", "")
    request = replace(PLAIN, enrolled_speakers=people(3), maximum_speakers=2)
    with pytest.raises(InvalidInput) as caught:
        check(request, SERVED)
    assert caught.value.reason == "ENROLLED_SPEAKERS_TOO_MANY"
    assert len(check(replace(request, maximum_speakers=3), SERVED).enrolled) == 3


@pytest.mark.parametrize("count", [0, 3])
def test_a_speaker_has_one_or_two_prototypes(count: int) -> None:
    """None would be nobody."""
    speaker = SentSpeaker("Ann", (prototype(),) * count)
    assert refusal(speaker) == ("PROTOTYPE_COUNT_INVALID", "[0].prototypes")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"space": "synthetic-2"}, "EMBEDDING_SPACE_MISMATCH", "embedding_space"),
        ({"space": ""}, "EMBEDDING_SPACE_MISMATCH", "embedding_space"),
        ({"values": []}, "PROTOTYPE_INVALID", "values"),
        ({"values": voice(1)[:-1].tolist()}, "PROTOTYPE_INVALID", "values"),
        ({"values": [*voice(1).tolist(), 0.0]}, "PROTOTYPE_INVALID", "values"),
        ({"values": [0.0] * DIM}, "PROTOTYPE_INVALID", "values"),
        ({"values": (voice(1) * 1.02).tolist()}, "PROTOTYPE_INVALID", "values"),
        ({"values": (voice(1) * 0.98).tolist()}, "PROTOTYPE_INVALID", "values"),
        ({"values": [3e38] * DIM}, "PROTOTYPE_INVALID", "values"),
        ({"values": [float("nan")] * DIM}, "PROTOTYPE_INVALID", "values"),
        ({"values": [float("inf")] + [0.0] * (DIM - 1)}, "PROTOTYPE_INVALID", "values"),
        ({"values": [float("nan"), 1.0] + [0.0] * (DIM - 2)}, "PROTOTYPE_INVALID", "values"),
        ({"seconds": 0.0}, "PROTOTYPE_INVALID", "speech"),
        ({"seconds": -1.0}, "PROTOTYPE_INVALID", "speech"),
    ],
)
def test_a_prototype_is_a_voice_of_this_model(
    changes: dict[str, Any], reason: str, field: str
) -> None:
    """As many values as its vectors have, of length one, with speech behind them."""
    bad = person("Bob", prototype(voice(2).tolist()), prototype(**changes))
    assert refusal(person(), bad) == (reason, f"[1].prototypes[1].{field}")


def test_two_names_of_one_voice_are_refused() -> None:
    """Whichever prototypes are alike; two people who sound alike are not one yet."""
    other = prototype(voice(2).tolist())
    noisy = voice(1) + 0.05 * voice(3)
    again = prototype((noisy / np.linalg.norm(noisy)).tolist())
    assert refusal(person(), person("Bob", again)) == ("ENROLLED_VOICES_ALIKE", "[1].prototypes")
    assert refusal(*people(1), person("Ann", other, prototype()), person("Bob", again)) == (
        "ENROLLED_VOICES_ALIKE",
        "[2].prototypes",
    )
    alike = (0.75 * voice(1) + voice(2)).astype(np.float32)
    alike /= np.linalg.norm(alike)
    assert float(alike @ voice(2)) > SPACE.same_speaker_threshold
    pair = [person("Ann", other), person("Bob", prototype(alike.tolist()))]
    assert len(check_enrolled(pair, SPACE, 20)) == 2


def test_one_person_may_have_one_voice_twice() -> None:
    """Or two that are far apart."""
    both = person("Ann", prototype(), prototype(), prototype(voice(2).tolist()))
    for pair in itertools.combinations(both.prototypes, 2):
        assert check_enrolled([SentSpeaker("Ann", pair)], SPACE, 20)


def test_who_resumes_goes_on_with_those_of_the_token() -> None:
    """What the config says then is not looked at, good or bad."""
    bad = replace(PLAIN, resume_token=b"token", enrolled_speakers=(person("S1"),))
    assert check(bad, SERVED, RESUMPTION).enrolled == ()


def test_a_model_knows_the_voices_of_its_space_alone() -> None:
    """All prototypes of all speakers must be of it."""
    foreign = person("Bob", prototype(), prototype(space="synthetic-2"))
    assert SPACE.has([person()])
    assert not SPACE.has([person(), foreign])


def message(*speakers: pb.EnrolledSpeaker) -> pb.StreamConfig:
    """A config with these."""
    audio_format = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=16_000)
    return pb.StreamConfig(audio_format=audio_format, enrolled_speakers=speakers)


def test_voices_come_from_the_wire_as_they_were_sent() -> None:
    """Name, space, values, and speech to the nanosecond."""
    sent = pb.EnrolledSpeaker(name="Ann")
    added = sent.prototypes.add(embedding_space="synthetic-1", values=voice(1).tolist())
    added.speech.FromNanoseconds(2_500_000_001)
    request = messages.stream_request(message(sent))
    (ann,) = check(request, SERVED).enrolled
    assert ann.name == "Ann"
    assert ann.prototypes[0].speech_seconds == pytest.approx(2.500000001)
    np.testing.assert_allclose(ann.prototypes[0].values, voice(1), atol=1e-6)
    shown = repr(request) + repr(check(request, SERVED)) + repr(request.enrolled_speakers)
    assert "Ann" not in shown
    assert str(round(float(voice(1)[0]), 3)) not in shown


def test_of_more_than_there_may_be_no_more_is_looked_at() -> None:
    """A config full of empty speakers or prototypes costs its bytes, and is refused."""
    many = message(*[pb.EnrolledSpeaker()] * 100_000)
    request = messages.stream_request(many)
    assert len(request.enrolled_speakers) == 21
    with pytest.raises(InvalidInput) as caught:
        check(request, SERVED)
    assert caught.value.reason == "ENROLLED_SPEAKERS_TOO_MANY"
    deep = message(pb.EnrolledSpeaker(name="Ann", prototypes=[pb.Prototype()] * 100_000))
    (speaker,) = messages.stream_request(deep).enrolled_speakers
    assert len(speaker.prototypes) == 3

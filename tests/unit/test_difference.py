"""What differs between two versions, and which bump that demands."""

from __future__ import annotations

from typing import Any

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.synthetic import manifest
from voiceflow.artifact import Manifest
from voiceflow.catalog.names import VersionName
from voiceflow.catalog.versions import Bump, ChangeKind
from voiceflow.contract import TensorSignature
from voiceflow.difference import Described, actual_bump, difference
from voiceflow.errors import InvalidInput

MODEL_DIGESTS = {"model.onnx": "sha256:" + 64 * "0", "README.md": "sha256:" + 64 * "1"}
MEASURED = {
    "data_set": "simulated",
    "protocol": "collar 0",
    "scorer": "pyannote.metrics 4",
    "der_percent": 20.0,
    "missed_percent": 10.0,
    "false_alarm_percent": 5.0,
    "confusion_percent": 5.0,
}
INPUTS = (
    TensorSignature("audio", "float32", (None, None)),
    TensorSignature("state.memory", "float32", (None, 4, 176)),
)
OUTPUTS = (
    TensorSignature("speech", "float32", (None, None)),
    TensorSignature("next.memory", "float32", (None, 4, 176)),
)


def described(
    version: str = "1.2.3",
    *,
    inputs: tuple[TensorSignature, ...] = INPUTS,
    outputs: tuple[TensorSignature, ...] = OUTPUTS,
    **changes: Any,
) -> Described:
    """A version with some fields of its manifest, or its tensors, given."""
    values = {"version": version, "files": MODEL_DIGESTS, "measured": (MEASURED,)} | changes
    name = VersionName("synthetic", semver.Version.parse(version))
    return Described(name, manifest(**values), inputs, outputs)


@pytest.mark.parametrize(
    ("changes", "kind", "subject", "bump"),
    [
        ({"inputs": INPUTS[:1]}, ChangeKind.INPUT_REMOVED, "state.memory", Bump.MAJOR),
        (
            {"inputs": (*INPUTS, TensorSignature("gain", "float32", (None,)))},
            ChangeKind.INPUT_ADDED,
            "gain",
            Bump.MAJOR,
        ),
        ({"outputs": OUTPUTS[:1]}, ChangeKind.OUTPUT_REMOVED, "next.memory", Bump.MAJOR),
        (
            {"outputs": (*OUTPUTS, TensorSignature("pitch", "float32", (None,)))},
            ChangeKind.OUTPUT_ADDED,
            "pitch",
            Bump.MAJOR,
        ),
        (
            {"inputs": (TensorSignature("audio", "float16", (None, None)), INPUTS[1])},
            ChangeKind.TENSOR_RETYPED,
            "audio",
            Bump.MAJOR,
        ),
        (
            {"outputs": (OUTPUTS[0], TensorSignature("next.memory", "float32", (None, 8, 176)))},
            ChangeKind.TENSOR_RESHAPED,
            "next.memory",
            Bump.MAJOR,
        ),
        ({"contract": "diarization-stream/2.0"}, ChangeKind.CONTRACT, "contract", Bump.MAJOR),
        ({"frame_samples": 320}, ChangeKind.FRAME, "frame_samples", Bump.MAJOR),
        ({"window_samples": 48_000}, ChangeKind.FRAME, "window_samples", Bump.MAJOR),
        ({"look_ahead_frames": 4}, ChangeKind.FRAME, "look_ahead_frames", Bump.MAJOR),
        ({"tracks": 1}, ChangeKind.FRAME, "tracks", Bump.MAJOR),
        ({"hop_samples": {"density": 7680}}, ChangeKind.FRAME, "hop_samples.agent", Bump.MAJOR),
        ({"embedding_dim": 64}, ChangeKind.EMBEDDING_DIMENSION, "embedding_dim", Bump.MAJOR),
        ({"embedding_space": "other"}, ChangeKind.EMBEDDING_SPACE, "embedding_space", Bump.MAJOR),
        ({"state_space": "other"}, ChangeKind.STATE_SPACE, "state_space", Bump.MINOR),
        (
            {"measured": (MEASURED | {"der_percent": 19.0},)},
            ChangeKind.ACCURACY,
            "measured.simulated",
            Bump.MINOR,
        ),
        (
            {"files": MODEL_DIGESTS | {"model.onnx": "sha256:" + 64 * "2"}},
            ChangeKind.WEIGHTS,
            "model.onnx",
            Bump.PATCH,
        ),
        ({"licence": "MIT"}, ChangeKind.METADATA, "licence", Bump.PATCH),
        ({"measured": ()}, ChangeKind.METADATA, "measured.simulated", Bump.PATCH),
        (
            {"files": MODEL_DIGESTS | {"README.md": "sha256:" + 64 * "2"}},
            ChangeKind.METADATA,
            "files.README.md",
            Bump.PATCH,
        ),
    ],
)
def test_each_change_demands_what_the_table_says(
    changes: dict[str, Any], kind: ChangeKind, subject: str, bump: Bump
) -> None:
    """One thing changes: that is what is found, and its row of the table is what it demands."""
    found = difference(described(), described("2.0.0", **changes))
    assert [(change.kind, change.subject) for change in found.changes] == [(kind, subject)]
    assert found.changes[0].bump == found.required_bump == bump
    assert found.changes[0].before != found.changes[0].after


def test_a_mode_that_is_added_changes_nothing_for_those_who_use_the_others() -> None:
    """A new hop beside the old ones demands no more than a patch."""
    found = difference(described(hop_samples={"density": 7680}), described("1.2.4"))
    assert found.required_bump == Bump.PATCH
    assert [change.subject for change in found.changes] == ["hop_samples.agent"]


def test_tensors_are_told_as_they_are_written() -> None:
    """Type and dimensions, without the name."""
    found = difference(described(), described("2.0.0", inputs=INPUTS[:1]))
    assert found.changes[0].before == "float32 [dynamic, 4, 176]"
    assert not found.changes[0].after


def test_unknown_tensors_are_not_compared() -> None:
    """Before a graph has been looked at, its tensors are no difference."""
    found = difference(described(), described("1.2.4", inputs=(), outputs=()))
    assert found.changes == ()
    assert found.required_bump == Bump.PATCH
    assert found.sufficient


def test_weights_are_named_only_where_nothing_says_more() -> None:
    """A retrained network with a new embedding space is told by the space."""
    files = MODEL_DIGESTS | {"model.onnx": "sha256:" + 64 * "2"}
    found = difference(described(), described("2.0.0", files=files, embedding_space="other"))
    assert [change.kind for change in found.changes] == [ChangeKind.EMBEDDING_SPACE]


def test_the_greatest_demand_comes_first() -> None:
    """Whoever reads the list sees first what decides."""
    target = described("2.0.0", licence="MIT", state_space="other", embedding_dim=8)
    found = difference(described(), target)
    assert [change.bump for change in found.changes] == [Bump.MAJOR, Bump.MINOR, Bump.PATCH]


def test_sizes_are_no_difference_of_their_own() -> None:
    """A manifest that begins to state them says nothing else of the same files."""
    sizes = dict.fromkeys(MODEL_DIGESTS, 100)
    assert difference(described(), described("1.0.1", sizes=sizes)).changes == ()


def test_versions_of_two_models_are_not_compared() -> None:
    """Numbers of two models say nothing of each other."""
    other = Described(VersionName("other", semver.Version(1)), manifest())
    with pytest.raises(InvalidInput) as refused:
        difference(described(), other)
    assert refused.value.reason == "MODELS_DIFFER"


@pytest.mark.parametrize(
    ("base", "target", "bump"),
    [
        ("1.2.3", "1.2.4", Bump.PATCH),
        ("1.2.3", "1.3.0", Bump.MINOR),
        ("1.2.3", "2.0.0", Bump.MAJOR),
        ("1.3.0", "1.4.0-rc.1", Bump.MINOR),
        ("1.4.0-rc.1", "1.4.0-rc.2", Bump.MINOR),
        ("1.4.0-rc.2", "1.4.0", Bump.MINOR),
        ("1.4.0-rc.2", "1.4.1", Bump.MINOR),
        ("1.4.0", "1.4.1-rc.1", Bump.PATCH),
        ("1.4.1-rc.1", "1.4.1", Bump.PATCH),
        ("1.4.1", "2.0.0-rc.1", Bump.MAJOR),
        ("2.0.0-rc.1", "2.0.0-rc.2", Bump.MAJOR),
        ("2.0.0-rc.1", "2.1.0", Bump.MAJOR),
        ("0.2.9", "0.3.0", Bump.MAJOR),
        ("0.2.9", "0.2.10", Bump.MINOR),
        ("0.9.0", "1.0.0", Bump.MAJOR),
    ],
)
def test_numbers_give_a_bump(base: str, target: str, bump: Bump) -> None:
    """Pre-releases count as the step to their number; below 1.0.0 a place less is promised."""
    assert actual_bump(semver.Version.parse(base), semver.Version.parse(target)) == bump


@pytest.mark.parametrize(
    ("base", "target", "sufficient"),
    [
        ("1.2.3", "1.2.4", False),
        ("1.2.3", "1.3.0", True),
        ("1.2.3", "2.0.0", True),
        ("1.3.0", "1.2.3", False),
        ("1.3.0-rc.1", "1.3.0-rc.2", True),
    ],
)
def test_a_number_must_be_higher_by_enough(base: str, target: str, sufficient: bool) -> None:
    """Another state space demands a minor bump over the earlier version."""
    found = difference(described(base), described(target, state_space="other"))
    assert found.sufficient is sufficient


def test_a_version_differs_in_nothing_from_itself() -> None:
    """No change, and nothing to bump."""
    found = difference(described(), described())
    assert found.changes == ()
    assert found.sufficient


_number = st.integers(0, 3)
_prerelease = st.sampled_from([None, "alpha", "rc.1", "rc.2"])
versions = st.builds(semver.Version, _number, _number, _number, _prerelease)


@given(st.tuples(versions, versions, versions).map(sorted))
def test_steps_add_up(steps: list[semver.Version]) -> None:
    """From a over b to c is the greater of both: small bumps in a chain hide no great one."""
    a, b, c = steps
    if a < b < c:
        assert actual_bump(a, c) == max(actual_bump(a, b), actual_bump(b, c))


@given(versions, versions)
def test_a_higher_number_never_gives_less(base: semver.Version, target: semver.Version) -> None:
    """What suffices goes on to suffice for every later number."""
    if base < target:
        later = target.bump_patch() if target.prerelease is None else target.finalize_version()
        assert actual_bump(base, later) >= actual_bump(base, target)


_fields: dict[str, st.SearchStrategy[Any]] = {
    "state_space": st.sampled_from(["one", "two", None]),
    "embedding_space": st.sampled_from(["one", "two"]),
    "embedding_dim": st.sampled_from([32, 64]),
    "frame_samples": st.sampled_from([640, 320]),
    "licence": st.sampled_from(["MIT", "Apache-2.0"]),
    "context_seconds": st.sampled_from([1.0, 2.0]),
}
_changes = st.fixed_dictionaries({}, optional=_fields)


@given(_changes, _changes)
def test_both_directions_demand_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What breaks a reader on the way there breaks it on the way back."""
    there = difference(described(**one), described("2.0.0", **other))
    back = difference(described(**other), described("2.0.0", **one))
    assert there.required_bump == back.required_bump
    assert {(c.kind, c.subject, c.before, c.after) for c in there.changes} == {
        (c.kind, c.subject, c.after, c.before) for c in back.changes
    }


def test_every_field_of_a_manifest_is_compared() -> None:
    """A field that is added to manifests is metadata until the table says otherwise."""
    other: dict[str, Any] = {
        "schema_version": None,  # there is one
        "sample_rate_hertz": None,  # there is one
        "model": None,  # versions of one model are compared
        "version": None,  # is what the comparison judges
        "contract": "diarization-stream/2.0",
        "frame_samples": 320,
        "window_samples": 48_000,
        "hop_samples": {"density": 3840},
        "tracks": 1,
        "embedding_dim": 64,
        "look_ahead_frames": 3,
        "context_seconds": 2.0,
        "embedding_space": "other",
        "state_space": None,
        "operating_point": described().manifest.operating_point.model_copy(
            update={"smoothing_seconds": 0.5}
        ),
        "measured": (),
        "training_data": ("other",),
        "teacher": "other",
        "licence": "MIT",
        "source_commit": 40 * "a",
        "files": {},
        "sizes": None,  # a file of another size has another digest
    }
    assert set(other) == set(Manifest.model_fields)
    alone = [{field: value} for field, value in other.items() if value is not None]
    for change in [*alone, {"state_space": None}]:
        assert difference(described(), described("2.0.0", **change)).changes, change

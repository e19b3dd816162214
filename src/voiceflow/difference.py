"""What differs between two versions of a model, and how much of the version number that demands.

The table of the model contract, as pure functions:

    tensors, contract, sample rate, frame, embedding dimension, embedding space   major
    state space, figures of accuracy                                              minor
    weights, anything else in the manifest                                        patch
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import semver

from voiceflow.artifact import Manifest, Measurement
from voiceflow.catalog.names import VersionName
from voiceflow.catalog.versions import Bump, ChangeKind, ContractChange, Difference
from voiceflow.contract import TensorSignature
from voiceflow.errors import InvalidInput
from voiceflow.package import MODEL_FILE


@dataclass(frozen=True, slots=True)
class Described:
    """All of a version that is compared.

    Attributes:
        name: The version.
        manifest: What is said of it.
        inputs: Of its graph, as ONNX Runtime sees them; empty where they are not known.
        outputs: Likewise. Tensors are compared only where those of both versions are known.
    """

    name: VersionName
    manifest: Manifest
    inputs: tuple[TensorSignature, ...] = ()
    outputs: tuple[TensorSignature, ...] = ()


def difference(base: Described, target: Described) -> Difference:
    """Compares two versions of one model.

    Args:
        base: The earlier version.
        target: The later one.

    Raises:
        InvalidInput: MODELS_DIFFER, if they are versions of two models.
    """
    if base.name.model != target.name.model:
        raise InvalidInput(
            f"{base.name} and {target.name} are versions of two models; only versions of one model"
            " can be compared",
            reason="MODELS_DIFFER",
            field="base",
        )
    changes = [*_tensor_changes(base, target), *_manifest_changes(base.manifest, target.manifest)]
    if not changes:
        changes += _weights_change(base.manifest, target.manifest)
    changes += _metadata_changes(base.manifest, target.manifest)
    changes.sort(key=lambda change: -change.bump)  # stable: among equals, as found
    required = max((change.bump for change in changes), default=Bump.PATCH)
    actual = actual_bump(base.name.version, target.name.version)
    same = base.name == target.name
    later = target.name.version > base.name.version
    return Difference(
        base=str(base.name),
        target=str(target.name),
        changes=tuple(changes),
        required_bump=required,
        actual_bump=actual,
        sufficient=same or (later and actual >= required),
    )


def actual_bump(base: semver.Version, target: semver.Version) -> Bump:
    """What the numbers of two versions give; their order does not matter.

    A pre-release stands before its number, so the step from it to that number, or past it, counts
    as the step that this number itself takes: from 1.4.0-rc.1 to 1.4.0-rc.2 or 1.4.0 is a minor
    bump, from 2.0.0-rc.1 to 2.0.0 a major one. Thereby steps add up: from a over b to c is the
    greater of the two.

    Numbers below 1.0.0 promise one place less, as the major packaging tools read them: 0.3.0
    after 0.2.9 is a major bump, 0.2.10 after 0.2.9 a minor one.
    """
    lower, higher = min(base, target), max(base, target)
    bump = _between(lower, higher)
    return max(bump, _of_number(lower)) if lower.prerelease and lower != higher else bump


def _between(lower: semver.Version, higher: semver.Version) -> Bump:
    """From the first number to the second, pre-releases aside."""
    initial = lower.major == 0
    if higher.major != lower.major:
        return Bump.MAJOR
    if higher.minor != lower.minor:
        return Bump.MAJOR if initial else Bump.MINOR
    if higher.patch != lower.patch:
        return Bump.MINOR if initial else Bump.PATCH
    return Bump.PATCH


def _of_number(version: semver.Version) -> Bump:
    """The step from all that is before a number to the number."""
    if version.patch:
        return Bump.PATCH if version.major else Bump.MINOR
    if version.minor:
        return Bump.MINOR if version.major else Bump.MAJOR
    return Bump.MAJOR


_DEMANDS: Final = {
    ChangeKind.INPUT_ADDED: Bump.MAJOR,
    ChangeKind.INPUT_REMOVED: Bump.MAJOR,
    ChangeKind.OUTPUT_ADDED: Bump.MAJOR,
    ChangeKind.OUTPUT_REMOVED: Bump.MAJOR,
    ChangeKind.TENSOR_RETYPED: Bump.MAJOR,
    ChangeKind.TENSOR_RESHAPED: Bump.MAJOR,
    ChangeKind.CONTRACT: Bump.MAJOR,
    ChangeKind.SAMPLE_RATE: Bump.MAJOR,
    ChangeKind.FRAME: Bump.MAJOR,
    ChangeKind.EMBEDDING_DIMENSION: Bump.MAJOR,
    ChangeKind.EMBEDDING_SPACE: Bump.MAJOR,
    ChangeKind.STATE_SPACE: Bump.MINOR,
    ChangeKind.ACCURACY: Bump.MINOR,
    ChangeKind.WEIGHTS: Bump.PATCH,
    ChangeKind.METADATA: Bump.PATCH,
}

_FIELDS: Final = {
    "contract": ChangeKind.CONTRACT,
    "sample_rate_hertz": ChangeKind.SAMPLE_RATE,
    # What a frame is, how far an output looks around it, and how many voices it holds.
    "frame_samples": ChangeKind.FRAME,
    "window_samples": ChangeKind.FRAME,
    "look_ahead_frames": ChangeKind.FRAME,
    "tracks": ChangeKind.FRAME,
    "embedding_dim": ChangeKind.EMBEDDING_DIMENSION,
    "embedding_space": ChangeKind.EMBEDDING_SPACE,
    "state_space": ChangeKind.STATE_SPACE,
}
# Sizes go with the files: what differs in one differs in its digest.
_COMPARED_APART: Final = {
    *("model", "version", "hop_samples", "measured", "files", "sizes"),
    *_FIELDS,
}


def _tensor_changes(base: Described, target: Described) -> Iterator[ContractChange]:
    roles = (
        (base.inputs, target.inputs, ChangeKind.INPUT_ADDED, ChangeKind.INPUT_REMOVED),
        (base.outputs, target.outputs, ChangeKind.OUTPUT_ADDED, ChangeKind.OUTPUT_REMOVED),
    )
    if not all(tensors for old, new, _, _ in roles for tensors in (old, new)):
        return
    for old, new, added, removed in roles:
        before, after = _by_name(old), _by_name(new)
        for name, tensor in before.items():
            if name not in after:
                yield _change(removed, name, _shape(tensor), "")
            elif after[name].dtype != tensor.dtype:
                yield _change(ChangeKind.TENSOR_RETYPED, name, _shape(tensor), _shape(after[name]))
            elif after[name].dims != tensor.dims:
                yield _change(ChangeKind.TENSOR_RESHAPED, name, _shape(tensor), _shape(after[name]))
        for name, tensor in after.items():
            if name not in before:
                yield _change(added, name, "", _shape(tensor))


def _manifest_changes(base: Manifest, target: Manifest) -> Iterator[ContractChange]:
    for field, kind in _FIELDS.items():
        before, after = getattr(base, field), getattr(target, field)
        if before != after:
            yield _change(kind, field, _text(before), _text(after))
    for mode, hop in base.hop_samples.items():
        kept = target.hop_samples.get(mode)
        if kept != hop:  # whoever asks for this mode gets another one, or none
            yield _change(ChangeKind.FRAME, f"hop_samples.{mode}", _text(hop), _text(kept))
    before, after = _measurements(base), _measurements(target)
    for what in before:
        if what in after and before[what] != after[what]:
            yield _change(
                ChangeKind.ACCURACY, _measured(what), _rates(before[what]), _rates(after[what])
            )


def _weights_change(base: Manifest, target: Manifest) -> Iterator[ContractChange]:
    before, after = base.files.get(MODEL_FILE, ""), target.files.get(MODEL_FILE, "")
    if before != after:
        yield _change(ChangeKind.WEIGHTS, MODEL_FILE, before, after)


def _metadata_changes(base: Manifest, target: Manifest) -> Iterator[ContractChange]:
    for field in Manifest.model_fields:
        before, after = getattr(base, field), getattr(target, field)
        if field not in _COMPARED_APART and before != after:
            yield _metadata(field, _text(before), _text(after))
    for mode, hop in target.hop_samples.items():
        if mode not in base.hop_samples:
            yield _metadata(f"hop_samples.{mode}", "", _text(hop))
    rates_before, rates_after = _measurements(base), _measurements(target)
    for what in sorted(rates_before.keys() ^ rates_after.keys()):
        yield _metadata(
            _measured(what),
            _rates(rates_before[what]) if what in rates_before else "",
            _rates(rates_after[what]) if what in rates_after else "",
        )
    for name in sorted((base.files.keys() | target.files.keys()) - {MODEL_FILE}):
        before, after = base.files.get(name, ""), target.files.get(name, "")
        if before != after:
            yield _metadata(f"files.{name}", before, after)


def _change(kind: ChangeKind, subject: str, before: str, after: str) -> ContractChange:
    return ContractChange(
        kind=kind, subject=subject, before=before, after=after, bump=_DEMANDS[kind]
    )


def _metadata(subject: str, before: str, after: str) -> ContractChange:
    return _change(ChangeKind.METADATA, subject, before, after)


def _by_name(tensors: Sequence[TensorSignature]) -> dict[str, TensorSignature]:
    return {tensor.name: tensor for tensor in tensors}


def _shape(tensor: TensorSignature) -> str:
    return str(tensor).removeprefix(f"{tensor.name}: ")


def _text(value: object) -> str:
    return "" if value is None else str(value)


_What = tuple[str, str, str]


def _measurements(manifest: Manifest) -> dict[_What, Measurement]:
    """By what was measured, and how: only figures of the same kind are compared."""
    return {(m.data_set, m.protocol, m.scorer): m for m in manifest.measured}


def _measured(what: _What) -> str:
    return f"measured.{what[0]}"


def _rates(measured: Measurement) -> str:
    return (
        f"{measured.der_percent} % DER ({measured.missed_percent} missed,"
        f" {measured.false_alarm_percent} false alarm, {measured.confusion_percent} confusion)"
    )

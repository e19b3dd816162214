"""Packing: an ONNX file and what its maker states of it become a folder that can be published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import semver
from pydantic import ValidationError

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest, digest_of
from voiceflow.contract import STREAM_CONTRACT, check_signature
from voiceflow.errors import PackageInvalid
from voiceflow.package import CARD_FILE, GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE
from voiceflow.packing.card import is_unfinished, skeleton
from voiceflow.packing.draft import Stated
from voiceflow.packing.golden import TOLERANCE, golden_vectors
from voiceflow.packing.graph import Graph, GraphFacts, facts_of

DEFAULT_OPERATING_POINT: Final[Mapping[str, float]] = {
    "speech_threshold": 0.5,
    "activity_threshold": 0.5,
    "overlap_threshold": 0.5,
    "new_speaker_threshold": 0.5,
    "same_speaker_threshold": 0.7,
    "minimum_turn_seconds": 0.2,
    "minimum_pause_seconds": 0.3,
    "smoothing_seconds": 0.16,
}
"""Where to begin; thresholds belong to weights and want to be tuned for them."""

_HOP_SECONDS: Final = {LatencyMode.DENSITY: 0.48, LatencyMode.AGENT: 0.08}
_NEEDED: Final = ("model", "version", "licence", "look_ahead_frames", "context_seconds")


@dataclass(frozen=True, slots=True)
class Assumption:
    """A field that nobody stated and the graph does not tell."""

    field: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A package that was made.

    Attributes:
        folder: Holds it.
        manifest: What stands in it.
        assumed: What was neither stated nor told by the graph.
        unfinished_card: The card has something to be filled in before it can be published.
    """

    folder: Path
    manifest: Manifest
    assumed: tuple[Assumption, ...]
    unfinished_card: bool


def pack(
    model: Path,
    stated: Stated,
    *,
    folder: Path | None = None,
    card: Path | None = None,
    tolerance: float = TOLERANCE,
) -> Packed:
    """Makes a package: model, golden vectors, card and manifest with their digests.

    Packing again into the same folder replaces what is there, except the card: what was written
    into it stays, unless another one is given.

    Args:
        model: The ONNX file, at best a few GiB, without external data.
        stated: Fields of the manifest. Needed are model, version, licence, look_ahead_frames and
            (for a stateful model) context_seconds.
        folder: Where to; None: `{model}-{version}` in the current folder.
        card: Markdown; None: the one that is there, or a skeleton that says what to fill in.
        tolerance: How far another machine's outputs may be from the golden ones.

    Raises:
        PackageInvalid: What is stated is incomplete, breaks the schema, or is not what the graph
            has; or the graph breaks its contract. The message says what to change.
    """
    content = _read(model)
    graph = Graph(content)
    facts = facts_of(graph, stated)
    fields, assumed = _fields(stated, facts, digest_of(content))
    manifest = _manifest(fields | {"files": {}})
    check_signature(manifest, graph.inputs, graph.outputs)
    folder = folder or Path(f"{manifest.model}-{manifest.version}")
    _check_target(folder, manifest)

    if card is not None:
        text = _read(card)
    elif (folder / CARD_FILE).exists():
        text = _read(folder / CARD_FILE)
    else:
        text = skeleton(manifest).encode()
    files = {
        MODEL_FILE: content,
        GOLDEN_FILE: golden_vectors(graph, manifest, tolerance=tolerance),
        CARD_FILE: text,
    }
    manifest = _manifest(
        fields
        | {
            "files": {name: digest_of(data) for name, data in files.items()},
            "sizes": {name: len(data) for name, data in files.items()},
        }
    )
    _write(folder, files | {MANIFEST_FILE: manifest.to_json().encode()})
    unfinished = is_unfinished(text.decode(errors="replace"))
    return Packed(folder, manifest, assumed, unfinished)


def _fields(
    stated: Stated, facts: GraphFacts, model_digest: str
) -> tuple[dict[str, Any], tuple[Assumption, ...]]:
    """All fields of the manifest but the files, and which of them nobody stated."""
    fields = {name: value for name, value in stated.items() if value is not None}
    assumed = []

    def assume(field: str, value: Any, why: str) -> None:
        if field not in fields:
            fields[field] = value
            parts = value.items() if isinstance(value, dict) else ()
            text = ", ".join(f"{name} {part}" for name, part in parts) or str(value)
            assumed.append(Assumption(field, text, why))

    fields.pop("sizes", None)
    if fields.pop("files", {}).get(MODEL_FILE, model_digest) != model_digest:
        for field in ("measured", "source_commit"):
            if fields.pop(field, None):
                why = "the draft's belongs to another model file; state it anew"
                assumed.append(Assumption(field, "none", why))
        for field in ("embedding_space", "state_space"):
            if fields.get(field):
                why = "as with the draft's other model file; weights trained anew have their own"
                assumed.append(Assumption(field, str(fields[field]), why))
    if facts.window_samples is not None:
        assume(
            "context_seconds",
            facts.window_samples / SAMPLE_RATE_HERTZ,
            "the length of the window, which is all that the model hears",
        )
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        hints = ", ".join(f"{name} ({_HINTS[name]})" for name in missing)
        raise PackageInvalid(
            f"not stated, and not to be told from the graph: {hints}",
            reason="MANIFEST_INCOMPLETE",
            field=missing[0],
        )
    fields |= {
        "schema_version": 1,
        "contract": facts.contract,
        "sample_rate_hertz": fields.get("sample_rate_hertz", SAMPLE_RATE_HERTZ),
        "frame_samples": facts.frame_samples,
        "window_samples": facts.window_samples,
        "tracks": facts.tracks,
        "embedding_dim": facts.embedding_dim,
    }
    assume("hop_samples", _hops(facts.frame_samples), "480 ms and 80 ms, in whole frames")
    assume("operating_point", dict(DEFAULT_OPERATING_POINT), "where to begin; tune it")
    _assume_spaces(fields, facts, assume)
    return fields, tuple(assumed)


_HINTS: Final = {
    "model": "--model",
    "version": "--version",
    "licence": "--licence, such as CC-BY-4.0",
    "look_ahead_frames": "--look-ahead-frames: how many frames after its audio an answer comes",
    "context_seconds": "--context-seconds: the audio that an answer rests on, at least the"
    " receptive field",
}


def _assume_spaces(
    fields: dict[str, Any], facts: GraphFacts, assume: Callable[[str, Any, str], None]
) -> None:
    """Names that claim no more than the version number itself does."""
    version = str(fields["version"])
    if not semver.Version.is_valid(version):
        return  # the manifest will say so
    number = semver.Version.parse(version)
    assume(
        "embedding_space",
        f"{fields['model']}-{number.major}",
        "versions with this major number have comparable speaker vectors",
    )
    if facts.contract == STREAM_CONTRACT:
        assume(
            "state_space",
            f"{fields['model']}-{number.major}.{number.minor}",
            "versions with this major and minor number have the same memory",
        )


def _hops(frame_samples: int) -> dict[str, int]:
    """The usual hop of each latency mode, in whole frames, at least one."""
    return {
        mode.value: max(1, round(seconds * SAMPLE_RATE_HERTZ / frame_samples)) * frame_samples
        for mode, seconds in _HOP_SECONDS.items()
    }


def _manifest(fields: Mapping[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise PackageInvalid(
            f"{field}: {first['msg']} (stated: {first['input']!r:.200})",
            reason="MANIFEST_INVALID",
            field=field,
        ) from error


def _check_target(folder: Path, manifest: Manifest) -> None:
    """Refuses to write one version over another one."""
    there = folder / MANIFEST_FILE
    if there.exists():
        name = Manifest.from_json(_read(there)).resource_name
        if name != manifest.resource_name:
            raise PackageInvalid(
                f"{folder} holds {name}; this is {manifest.resource_name}: give another folder",
                reason="FOLDER_TAKEN",
                field="folder",
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackageInvalid(
            f"{path}: cannot be read: {error.strerror}", reason="FILE_MISSING", field="files"
        ) from error


def _holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files, the manifest last: what a manifest names is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _holds(folder / MANIFEST_FILE, files[MANIFEST_FILE]):
            (folder / SIGNATURE_FILE).unlink(missing_ok=True)  # it was over another manifest
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise PackageInvalid(
            f"{folder}: cannot be written: {error.strerror}",
            reason="FOLDER_INVALID",
            field="folder",
        ) from error

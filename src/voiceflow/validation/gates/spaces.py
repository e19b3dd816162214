"""Runs a version beside earlier ones whose state, or speaker vectors, it claims to share.

Each runs in a process of its own, over the same synthetic conversation; state passes from one to
the other through the registry.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, cast

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.package import MODEL_FILE
from voiceflow.validation import measured
from voiceflow.validation.gates import limits
from voiceflow.validation.gates.agreement import (
    Said,
    judge_state,
    judge_vectors,
    mean_cosine,
    state_not_shared,
    vectors_not_shared,
)
from voiceflow.validation.measured import Array, Asked, Failed, Stretch
from voiceflow.validation.sandbox import JsonValue, Probe, Sandbox, SandboxFailure
from voiceflow.validation.values import Candidate, Earlier, GateOutcome

_AUDIO_SECONDS: Final = 12.0
_SWITCHES_SECONDS: Final = (2.4, 4.8, 7.2, 9.6)
_AFTER_SECONDS: Final = 1.0
"""How long after a switch answers are compared: an old memory is forgotten after a while."""

_REPLY_BYTES: Final = 64 * 1024**2
_AUDIO: Final = "audio"


class _Space(StrEnum):
    """Fields of a manifest that claim something of other versions."""

    STATE = "state_space"
    EMBEDDING = "embedding_space"


def verify(
    sandbox: Sandbox, candidate: Candidate, manifest: Manifest, earlier: Sequence[Earlier]
) -> GateOutcome:
    """Runs a version beside the newest earlier ones that have the spaces it claims.

    Args:
        sandbox: Runs them.
        candidate: Keeps its contract.
        manifest: Of the candidate.
        earlier: Versions before it, the newest first.

    Raises:
        SandboxFailure: If the sandbox ended one of them.
    """
    claims: dict[int, set[_Space]] = {}  # by position in `earlier`
    for space in _Space:
        claimed = getattr(manifest, space)
        same = [n for n, e in enumerate(earlier) if getattr(e.described.manifest, space) == claimed]
        if same and claimed is not None:
            claims.setdefault(same[0], set()).add(space)
    if not claims:
        return GateOutcome()
    with _conversation() as audio:
        outcomes = [
            _compare(sandbox, candidate, manifest, earlier[position], spaces, audio)
            for position, spaces in claims.items()
        ]
    return _joined(outcomes)


def _compare(
    sandbox: Sandbox,
    candidate: Candidate,
    manifest: Manifest,
    earlier: Earlier,
    spaces: set[_Space],
    audio: Path,
) -> GateOutcome:
    """Runs both versions once, for all that the one claims of the other."""
    name, other = str(earlier.described.name), earlier.described.manifest
    unit = math.lcm(other.frame_samples, manifest.frame_samples)  # whole frames of both
    switches = [_whole(seconds, unit) for seconds in _SWITCHES_SECONDS]
    switches = switches if _Space.STATE in spaces else []
    end = _whole(_AUDIO_SECONDS, unit) if _Space.EMBEDDING in spaces else 0
    try:
        memories, before = _earlier(sandbox, earlier, switches, end, audio)
        with _opened(sandbox, candidate, manifest, audio) as probe:
            own = _memories(probe, manifest, switches)
            pairs = [
                (
                    _hear(probe, manifest, at, at + _whole(_AFTER_SECONDS, unit), theirs)[0],
                    _hear(probe, manifest, at, at + _whole(_AFTER_SECONDS, unit), ours)[0],
                )
                for at, theirs, ours in zip(switches, memories, own, strict=True)
            ]
            after = _hear(probe, manifest, 0, end)[0] if end else None
    except _CannotRunError as error:
        refuse = {_Space.STATE: state_not_shared, _Space.EMBEDDING: vectors_not_shared}
        return GateOutcome(
            tuple(refuse[space](manifest, name, str(error)) for space in sorted(spaces))
        )
    outcomes = [judge_state(name, manifest, pairs)] if pairs else []
    if after is not None and before is not None:
        outcomes.append(judge_vectors(name, manifest, mean_cosine(after, before)))
    return _joined(outcomes)


def _earlier(
    sandbox: Sandbox, earlier: Earlier, switches: Sequence[int], end: int, audio: Path
) -> tuple[list[dict[str, Array]], Said | None]:
    """What the earlier version remembers at each switch, and says up to the end."""
    manifest = earlier.described.manifest
    version = Candidate(manifest.to_json().encode(), earlier.fetch())
    try:
        with _opened(sandbox, version, manifest, audio) as probe:
            memories = _memories(probe, manifest, switches)
            return memories, _hear(probe, manifest, 0, end)[0] if end else None
    except SandboxFailure as failure:  # its own, not the candidate's
        raise _CannotRunError(f"{earlier.described.name}: {failure.message}") from failure


def _joined(outcomes: Sequence[GateOutcome]) -> GateOutcome:
    return GateOutcome(
        tuple(found for outcome in outcomes for found in outcome.findings),
        tuple(figure for outcome in outcomes for figure in outcome.figures),
    )


def _whole(seconds: float, unit: int) -> int:
    """Samples, in whole units."""
    return round(seconds * SAMPLE_RATE_HERTZ) // unit * unit


def _memories(probe: Probe, manifest: Manifest, switches: Sequence[int]) -> list[dict[str, Array]]:
    """What a version remembers at each switch, in samples from the start."""
    found: list[dict[str, Array]] = []
    memory, start = None, 0
    for at in switches:
        _, memory = _hear(probe, manifest, start, at, memory)
        found.append(memory)
        start = at
    return found


class _CannotRunError(Exception):
    """ONNX Runtime raised an error: what was claimed has not been shown."""


@contextmanager
def _conversation() -> Iterator[Path]:
    """A file with a conversation of synthetic voices."""
    # Only here: synthesis brings a signal library that nothing else here needs.
    from voiceflow.sample import conversation  # noqa: PLC0415

    samples = conversation()[: round(_AUDIO_SECONDS * SAMPLE_RATE_HERTZ)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _AUDIO
        path.write_bytes(samples.astype("<f4").tobytes())
        yield path


@contextmanager
def _opened(
    sandbox: Sandbox, version: Candidate, manifest: Manifest, audio: Path
) -> Iterator[Probe]:
    with sandbox.open(
        "stretches",
        files={MODEL_FILE: version.folder / MODEL_FILE, _AUDIO: audio},
        arguments={"manifest": manifest.to_json()},
        limits=limits.to_run(version, _heard_seconds(manifest), reply_bytes=_REPLY_BYTES),
    ) as probe:
        yield probe


def _heard_seconds(manifest: Manifest) -> float:
    """Audio that goes through the model: a window is heard again with each hop."""
    calls = _AUDIO_SECONDS * SAMPLE_RATE_HERTZ / max(manifest.hop_samples.values())
    return 3 * calls * limits.call_seconds(manifest)


def _hear(
    probe: Probe,
    manifest: Manifest,
    start_samples: int,
    end_samples: int,
    state: dict[str, Array] | None = None,
) -> tuple[Said, dict[str, Array]]:
    """Runs a stretch, from the start of a stream or from a memory; its frames, and its memory."""
    first, last = start_samples // manifest.frame_samples, end_samples // manifest.frame_samples
    asked = Asked(start_frame=first, end_frame=last, state=state)
    stretch = measured.read(Stretch, probe.ask(cast("JsonValue", asked.model_dump(mode="json"))))
    if isinstance(stretch, Failed):
        raise _CannotRunError(stretch.failed)
    frames, tracks, dim = last - first, manifest.tracks, manifest.embedding_dim
    said = Said(
        manifest,
        first,
        measured.shaped(stretch.speech, (frames,)),
        measured.shaped(stretch.activity, (frames, tracks)),
        measured.shaped(stretch.embedding, (frames, tracks, dim)),
    )
    return said, stretch.state

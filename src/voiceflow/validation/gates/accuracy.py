"""Gate 6: the diarization error rate on the configured evaluation set.

Recordings are decoded and scored here; a version hears them in the sandbox, through the pipeline
that serves streams, and answers with final regions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.catalog.gates import AccuracyBudget, Figure, Finding
from voiceflow.errors import PackageInvalid
from voiceflow.package import MODEL_FILE
from voiceflow.pipeline.turns import Region
from voiceflow.validation import measured
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import limits
from voiceflow.validation.measured import Diarized, Failed
from voiceflow.validation.sandbox import Sandbox, SandboxFailure
from voiceflow.validation.values import Baseline, Candidate, GateOutcome

if TYPE_CHECKING:
    # Every process of the sandbox imports this package, and none of them reads recordings.
    from voiceflow.evaluation import EvaluationSet, Recording, Score, Scorer

_GROUP_SECONDS: Final = 1800.0
"""Audio that waits, decoded, for one process; 115 MB."""
_GROUP_RECORDINGS: Final = 32
_MAXIMUM_CPU_SECONDS: Final = 7200.0
_REPLY_BYTES: Final = 64 * 1024**2
_MAXIMUM_LABELS: Final = 512


@dataclass(frozen=True, slots=True)
class Decoded:
    """A recording as the sandbox gets it: float32, 16 kHz, without header."""

    recording: Recording
    path: Path
    samples: int


def accuracy_gate(
    sandbox: Sandbox,
    candidate: Candidate,
    manifest: Manifest,
    budget: AccuracyBudget,
    baseline: Baseline | None,
    evaluation_set: EvaluationSet,
) -> GateOutcome:
    """Scores a model that keeps its contract, and the version it is compared with.

    Raises:
        SandboxFailure: If the sandbox ended the candidate.
        NotAllowedNow: SCORER_MISSING.
        ContentCorrupt: If the evaluation set has changed since it was opened.
    """
    from voiceflow.evaluation import Scorer  # noqa: PLC0415 - as above

    scorer, other, unfit = Scorer(), Scorer(), ""
    for group in _groups(evaluation_set.recordings):
        try:
            _score(sandbox, candidate, manifest, group, scorer)
        except _CannotRunError as error:
            return GateOutcome((_run_failed(error),))
        if baseline is not None and not unfit:
            unfit = _score_baseline(sandbox, baseline, group, other)
    compared = other.pooled() if baseline is not None and not unfit else None
    outcome = judge_accuracy(scorer.pooled(), compared, budget)
    if baseline is None or not unfit or budget.der_worse_points is None:
        return outcome
    failed = finding(
        "accuracy.baseline-failed",
        baseline.name,
        seen=unfit,
        allowed="an error rate to compare with",
        message=f"the version that this one is compared with could not be run: {unfit}; promote"
        " another one, or take der_worse_points out of the channel's policy",
    )
    return GateOutcome((*outcome.findings, failed), outcome.figures)


def judge_accuracy(score: Score, baseline: Score | None, budget: AccuracyBudget) -> GateOutcome:
    """What pooled error rates mean under a budget."""
    figures = [
        Figure(
            name="der_percent",
            value=score.der_percent,
            baseline=None if baseline is None else baseline.der_percent,
            allowed=budget.der_percent,
        ),
        *(
            Figure(name=name, value=getattr(score, name), baseline=getattr(baseline, name, None))
            for name in ("missed_percent", "false_alarm_percent", "confusion_percent")
        ),
        Figure(name="reference_speech_seconds", value=score.reference_seconds),
    ]
    findings = []
    if budget.der_percent is not None and score.der_percent > budget.der_percent:
        findings.append(
            finding(
                "accuracy.der",
                "der_percent",
                seen=f"{score.der_percent:.2f} %",
                allowed=f"{budget.der_percent:.2f} %",
                message=f"the error rate is {score.der_percent:.2f} % (missed"
                f" {score.missed_percent:.2f}, false alarm {score.false_alarm_percent:.2f},"
                f" confusion {score.confusion_percent:.2f}); allowed are"
                f" {budget.der_percent:.2f} %",
            )
        )
    if baseline is not None:
        worse = score.der_percent - baseline.der_percent
        figures.append(
            Figure(name="der_worse_points", value=worse, allowed=budget.der_worse_points)
        )
        if budget.der_worse_points is not None and worse > budget.der_worse_points:
            findings.append(
                finding(
                    "accuracy.der-worse",
                    "der_percent",
                    seen=f"{worse:.2f} points above {baseline.der_percent:.2f} %",
                    allowed=f"{budget.der_worse_points:.2f} points",
                    message=f"the error rate is {score.der_percent:.2f} %, the promoted version's"
                    f" {baseline.der_percent:.2f} %; {budget.der_worse_points:.2f} points more are"
                    " allowed",
                )
            )
    return GateOutcome(tuple(findings), tuple(figures))


class _CannotRunError(Exception):
    """ONNX Runtime raised an error."""


def _groups(recordings: Sequence[Recording]) -> Iterator[list[Decoded]]:
    """Decodes as many recordings at a time as one process is given."""
    waiting = list(recordings)
    while waiting:
        with tempfile.TemporaryDirectory() as folder:
            group: list[Decoded] = []
            seconds = 0.0
            while waiting and seconds < _GROUP_SECONDS and len(group) < _GROUP_RECORDINGS:
                recording = waiting.pop(0)
                samples = recording.samples()
                path = Path(folder) / str(len(group))
                path.write_bytes(samples.astype("<f4").tobytes())
                group.append(Decoded(recording, path, len(samples)))
                seconds += len(samples) / SAMPLE_RATE_HERTZ
            yield group


def _score_baseline(
    sandbox: Sandbox, baseline: Baseline, group: Sequence[Decoded], scorer: Scorer
) -> str:
    """Why it could not be scored; empty if it was."""
    try:
        _score(sandbox, baseline, Manifest.from_json(baseline.manifest), group, scorer)
    except SandboxFailure as failure:
        return failure.message
    except PackageInvalid as error:
        return error.message
    except _CannotRunError as error:
        return str(error)
    return ""


def _score(
    sandbox: Sandbox,
    version: Candidate | Baseline,
    manifest: Manifest,
    group: Sequence[Decoded],
    scorer: Scorer,
) -> None:
    files = {MODEL_FILE: version.folder / MODEL_FILE}
    files |= {str(number): decoded.path for number, decoded in enumerate(group)}
    seconds = sum(decoded.samples for decoded in group) / SAMPLE_RATE_HERTZ
    calls = seconds * SAMPLE_RATE_HERTZ / max(manifest.hop_samples.values())
    given = limits.to_run(
        version,
        seconds + calls * limits.call_seconds(manifest),
        maximum_cpu_seconds=_MAXIMUM_CPU_SECONDS,
        reply_bytes=_REPLY_BYTES,
    )
    arguments = {"manifest": manifest.to_json()}
    with sandbox.open("accuracy", files=files, arguments=arguments, limits=given) as probe:
        for number, decoded in enumerate(group):
            answer = measured.read(Diarized, probe.ask(str(number)))
            if isinstance(answer, Failed):
                raise _CannotRunError(f"{decoded.recording.name}: {answer.failed}")
            regions = _regions(answer, decoded.samples)
            name, reference = decoded.recording.name, decoded.recording.reference
            scorer.add(name, reference, regions, decoded.samples)


def _regions(answer: Diarized, samples: int) -> list[Region]:
    """Final regions part the audio without gap; whatever else is answered was made up."""
    regions = [Region(r.start_samples, r.end_samples, r.speakers) for r in answer.regions]
    edges = [0, *(region.end_samples for region in regions)]
    starts = [region.start_samples for region in regions]
    labels = {speaker for region in regions for speaker in region.speakers}
    parts = starts == edges[:-1] and edges == sorted(set(edges)) and edges[-1] == samples
    if not parts or len(labels) > _MAXIMUM_LABELS:
        raise SandboxFailure(
            "reply-invalid",
            seen=f"{len(regions)} regions with {len(labels)} speakers, to sample {edges[-1]}",
            allowed=f"regions without gap to sample {samples}, at most {_MAXIMUM_LABELS} speakers",
            message="The model's process answered with regions that no pipeline makes.",
        )
    return regions


def _run_failed(error: _CannotRunError) -> Finding:
    return finding(
        "accuracy.run-failed",
        MODEL_FILE,
        seen=str(error),
        allowed="final regions of every recording",
        message=f"ONNX Runtime could not compute a hop: {error}",
    )

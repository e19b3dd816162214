"""Gate 5: time of a call and of a batch, size, memory, leaks.

The version and the one it is compared with run side by side, each in a process of its own, and are
timed in turns of a few calls, so that whatever else the machine does meets both. Where a bound on
time is passed, the measurement is made again, at most twice, and the best run counts: what is
the model's own shows every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np

from voiceflow.artifact import Manifest
from voiceflow.catalog.gates import CostBudget, Figure, Finding
from voiceflow.errors import PackageInvalid
from voiceflow.package import MODEL_FILE
from voiceflow.validation import measured
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import limits
from voiceflow.validation.measured import Calls, Done, Failed, Reload, Timed
from voiceflow.validation.sandbox import JsonValue, Probe, Sandbox, SandboxFailure
from voiceflow.validation.values import Baseline, Candidate, GateOutcome

BATCH_ROWS: Final = 16
"""The largest batch: the inference service's default limit."""

MAXIMUM_CALLS: Final = 200
MINIMUM_CALLS: Final = 20
MAXIMUM_RUNS: Final = 3
RELOADS: Final = 8
MAXIMUM_LEAK_BYTES: Final = 2 * 1024**2
"""Growth that one reload may leave behind on average; a leaked model is larger."""

_TURN_CALLS: Final = 10
_RUN_SECONDS: Final = 2.0
"""Time that one version's calls of one kind may take in a run, if `MINIMUM_CALLS` do."""
_SETTLING_RELOADS: Final = 2
"""The allocator keeps what it needs for one more reload."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds of single calls, in the order in which they were made."""

    call: Sequence[float]
    batch: Sequence[float]


@dataclass(frozen=True, slots=True)
class Run:
    """One run side by side."""

    version: Samples
    baseline: Samples | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """What a version takes up.

    Attributes:
        model_bytes: On disk.
        resident_bytes: Of a process with it loaded; None where the system does not tell.
        leak_bytes: That a reload leaves behind on average; None likewise, or if not measured.
    """

    model_bytes: int
    resident_bytes: int | None
    leak_bytes: float | None = None


class BaselineFailed(Exception):
    """The version that is compared with could not be run; the message says why."""


def cost_gate(
    sandbox: Sandbox,
    candidate: Candidate,
    manifest: Manifest,
    budget: CostBudget,
    baseline: Baseline | None,
) -> GateOutcome:
    """Measures a model that keeps its contract, beside the version it is compared with.

    Raises:
        SandboxFailure: If the sandbox ended the candidate.
    """
    try:
        return _compare(sandbox, candidate, manifest, budget, baseline)
    except BaselineFailed as error:
        outcome = _compare(sandbox, candidate, manifest, budget, None)
        if budget.slower_percent is None:
            return outcome
        failed = finding(
            "cost.baseline-failed",
            str(baseline and baseline.name),
            seen=str(error),
            allowed="times to compare with",
            message=f"the version that this one is compared with could not be run: {error}; promote"
            " another one, or take slower_percent out of the channel's policy",
        )
        return GateOutcome((*outcome.findings, failed), outcome.figures)
    except _CannotRunError as error:
        return GateOutcome(
            (
                finding(
                    "cost.run-failed",
                    MODEL_FILE,
                    seen=str(error),
                    allowed="an answer to every call",
                    message=f"ONNX Runtime could not compute a call: {error}",
                ),
            )
        )


def judge_cost(
    runs: Sequence[Run], size: Size, baseline: Size | None, budget: CostBudget
) -> GateOutcome:
    """What the measurements mean under a budget; of several runs the best one counts."""
    findings = [*judge_times(runs, budget)]
    figures: list[Figure] = []
    for kind, allowed in (("call", budget.call_p99_seconds), ("batch", budget.batch_p99_seconds)):
        versions = [getattr(run.version, kind) for run in runs]
        others = [getattr(run.baseline, kind) for run in runs if run.baseline is not None]
        figures += [
            _figure(f"{kind}_p99_seconds", versions, others, p99, allowed),
            _figure(f"{kind}_median_seconds", versions, others, _median, None),
        ]
        if others:
            slower = slower_percent(runs, kind)
            figures.append(
                Figure(name=f"{kind}_slower_percent", value=slower, allowed=budget.slower_percent)
            )
    known = baseline or Size(0, None)
    sizes = (
        ("cost.model-size", "model_size_bytes", "model_bytes", budget.model_size_bytes),
        ("cost.resident", "resident_bytes", "resident_bytes", budget.resident_bytes),
        ("cost.leak", "leak_bytes_per_reload", "leak_bytes", MAXIMUM_LEAK_BYTES),
    )
    for rule_id, name, field, bound in sizes:
        seen: float | None = getattr(size, field)
        if seen is None:
            continue
        other: float | None = getattr(known, field) or None
        figures.append(Figure(name=name, value=seen, baseline=other, allowed=bound))
        if bound is not None and seen > bound:
            findings.append(_too_much(rule_id, name, seen, bound))
    return GateOutcome(tuple(findings), tuple(figures))


def judge_times(runs: Sequence[Run], budget: CostBudget) -> Iterator[Finding]:
    """Bounds on time that are passed in every run."""
    bounds = (
        ("cost.call", "call", budget.call_p99_seconds),
        ("cost.batch", "batch", budget.batch_p99_seconds),
    )
    for rule_id, kind, allowed in bounds:
        best = min(p99(getattr(run.version, kind)) for run in runs)
        if allowed is not None and best > allowed:
            yield _too_much(rule_id, f"{kind}_p99_seconds", best, allowed)
        compared = any(run.baseline is not None for run in runs)
        if compared and budget.slower_percent is not None:
            slower = slower_percent(runs, kind)
            if slower > budget.slower_percent:
                yield _too_much(
                    "cost.slower", f"{kind}_slower_percent", slower, budget.slower_percent
                )


def slower_percent(runs: Sequence[Run], kind: str) -> float:
    """By how much the version's P99 exceeds the other's, in the run where it does so least."""
    return min(
        100.0 * (p99(getattr(run.version, kind)) / p99(getattr(run.baseline, kind)) - 1.0)
        for run in runs
        if run.baseline is not None
    )


def p99(seconds: Sequence[float]) -> float:
    """What 99 of 100 calls stay within."""
    return float(np.percentile(seconds, 99))


class _CannotRunError(Exception):
    """ONNX Runtime raised an error."""


def _compare(
    sandbox: Sandbox,
    candidate: Candidate,
    manifest: Manifest,
    budget: CostBudget,
    baseline: Baseline | None,
) -> GateOutcome:
    with ExitStack() as stack:
        version = _Timer(stack.enter_context(_opened(sandbox, candidate, manifest)))
        other = None
        if baseline is not None:
            theirs = _manifest_of(baseline)
            other = _Timer(stack.enter_context(_opened(sandbox, baseline, theirs)), baseline=True)
        runs: list[Run] = []
        while not runs or (len(runs) < MAXIMUM_RUNS and any(judge_times(runs, budget))):
            runs.append(_run(version, other))
        size = Size(_model_bytes(candidate), version.resident_bytes(), version.leak_bytes())
        other_size = None
        if baseline is not None and other is not None:
            other_size = Size(_model_bytes(baseline), other.resident_bytes())
        return judge_cost(runs, size, other_size, budget)


class _Timer:
    """Asks one version's process for times; tells apart whose failure it is."""

    def __init__(self, probe: Probe, *, baseline: bool = False) -> None:
        self._probe = probe
        self._baseline = baseline

    def seconds(self, rows: int, calls: int) -> tuple[float, ...]:
        timed = self._ask(Timed, Calls(rows=rows, calls=calls))
        return timed.seconds

    def resident_bytes(self) -> int | None:
        """Seen from outside, so that the model has no say in it."""
        try:
            pages = Path(f"/proc/{self._probe.pid}/statm").read_text("ascii").split()[1]
        except OSError:  # no Linux
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def leak_bytes(self) -> float | None:
        self._ask(Done, Reload(times=_SETTLING_RELOADS))
        before = self.resident_bytes()
        self._ask(Done, Reload(times=RELOADS))
        after = self.resident_bytes()
        return None if before is None or after is None else max(0, after - before) / RELOADS

    def _ask(self, kind: type[measured.Kind], question: measured.Answer) -> measured.Kind:
        try:
            answer = measured.read(
                kind, self._probe.ask(cast("JsonValue", question.model_dump(mode="json")))
            )
        except SandboxFailure as failure:
            if self._baseline:
                raise BaselineFailed(failure.message) from failure
            raise
        if isinstance(answer, Failed):
            raise (
                BaselineFailed(answer.failed) if self._baseline else _CannotRunError(answer.failed)
            )
        return answer


def _run(version: _Timer, other: _Timer | None) -> Run:
    timers = [version] if other is None else [version, other]
    found = [_alternately(timers, rows) for rows in (1, BATCH_ROWS)]
    samples = [Samples(call, batch) for call, batch in zip(*found, strict=True)]
    return Run(samples[0], samples[1] if other is not None else None)


def _alternately(timers: Sequence[_Timer], rows: int) -> list[list[float]]:
    """Times of each, a few calls in turn; who begins changes from turn to turn."""
    taken: list[list[float]] = [[] for _ in timers]
    settled = [min(timer.seconds(rows, 3)) for timer in timers]
    calls = round(min(max(_RUN_SECONDS / max(settled), MINIMUM_CALLS), MAXIMUM_CALLS))
    order = list(zip(timers, taken, strict=True))
    while len(taken[0]) < calls:
        for timer, into in order:
            into.extend(timer.seconds(rows, _TURN_CALLS))
        order.reverse()
    return taken


def _opened(
    sandbox: Sandbox, version: Candidate | Baseline, manifest: Manifest
) -> AbstractContextManager[Probe]:
    rows = MAXIMUM_RUNS * MAXIMUM_CALLS * (1 + BATCH_ROWS)
    return sandbox.open(
        "cost",
        files={MODEL_FILE: version.folder / MODEL_FILE},
        arguments={"manifest": manifest.to_json()},
        limits=limits.to_run(version, rows * limits.call_seconds(manifest)),
    )


def _manifest_of(baseline: Baseline) -> Manifest:
    try:
        return Manifest.from_json(baseline.manifest)
    except PackageInvalid as error:
        raise BaselineFailed(error.message) from error


def _model_bytes(version: Candidate | Baseline) -> int:
    return (version.folder / MODEL_FILE).stat().st_size


def _figure(
    name: str,
    versions: Sequence[Sequence[float]],
    others: Sequence[Sequence[float]],
    of: Callable[[Sequence[float]], float],
    allowed: float | None,
) -> Figure:
    baseline = min((of(samples) for samples in others), default=None)
    return Figure(name=name, value=min(map(of, versions)), baseline=baseline, allowed=allowed)


def _median(seconds: Sequence[float]) -> float:
    return float(np.median(seconds))


def _too_much(rule_id: str, name: str, seen: float, allowed: float) -> Finding:
    return finding(
        rule_id,
        name,
        seen=f"{seen:.6g}",
        allowed=f"{allowed:.6g}",
        message=f"{name} is {seen:.6g}; allowed is {allowed:.6g}",
    )

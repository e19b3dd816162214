"""Gate 4: a model gives what its package states, whatever it hears, however cut, in any company."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from voiceflow.artifact import Manifest
from voiceflow.catalog.gates import Figure, Finding
from voiceflow.package import GOLDEN_FILE, MODEL_FILE
from voiceflow.validation import measured
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import limits
from voiceflow.validation.measured import Compared, Failed, Golden, Heard, HeardAll
from voiceflow.validation.sandbox import Probe, Sandbox
from voiceflow.validation.values import Candidate, GateOutcome

TOLERANCE: Final = 1e-3
"""How far two answers that should be one may be apart: a sum in another order rounds otherwise."""

MAXIMUM_GOLDEN_TOLERANCE: Final = 0.01
LENGTH_TOLERANCE: Final = 1e-3
"""Of a vector's length from 1."""
RANGE_TOLERANCE: Final = 1e-6

_ROWS: Final = 400
"""About as many rows as are computed in all."""


def behaviour_gate(sandbox: Sandbox, candidate: Candidate, manifest: Manifest) -> GateOutcome:
    """Runs a model that keeps its contract, and judges what it said.

    Raises:
        SandboxFailure: If the sandbox ended the model.
    """
    heard_seconds = _ROWS * limits.call_seconds(manifest) + 4 * manifest.context_seconds
    with sandbox.open(
        "behaviour",
        files={name: candidate.folder / name for name in (MODEL_FILE, GOLDEN_FILE)},
        arguments={"manifest": manifest.to_json()},
        limits=limits.to_run(candidate, heard_seconds),
    ) as probe:
        golden = measured.read(Golden, probe.ask("golden"))
        signals = measured.read(HeardAll, probe.ask("signals"))
        cuts, after, context, batches = (
            _compared(probe, question) for question in ("cuts", "look-ahead", "context", "batches")
        )
    findings = (
        *judge_golden(golden),
        *judge_signals(signals),
        *judge_cuts(cuts),
        *judge_look_ahead(after),
        *judge_context(context, manifest),
        *judge_batches(batches),
    )
    figures = (
        Figure(name="cuts_furthest", value=furthest(cuts), allowed=TOLERANCE),
        Figure(name="context_furthest", value=furthest(context), allowed=TOLERANCE),
        Figure(name="batches_furthest", value=furthest(batches), allowed=0.0),
    )
    return GateOutcome(findings, tuple(figure for figure in figures if figure.value >= 0))


def judge_golden(golden: Golden | Failed) -> Iterator[Finding]:
    """The outputs that the package states, to a tolerance that means something."""
    if isinstance(golden, Failed):
        yield _failed("golden outputs", golden)
    elif golden.fault:
        yield finding(
            "behaviour.golden",
            GOLDEN_FILE,
            seen=golden.fault,
            allowed="every output within the tolerance that the file states",
            message=f"{golden.fault}; make {GOLDEN_FILE} again from this very graph",
        )
    elif golden.tolerance is None or golden.tolerance > MAXIMUM_GOLDEN_TOLERANCE:
        yield finding(
            "behaviour.golden-tolerance",
            GOLDEN_FILE,
            seen=str(golden.tolerance),
            allowed=f"at most {MAXIMUM_GOLDEN_TOLERANCE}",
            message="the tolerance that the file states proves nothing: state a smaller one",
        )


def judge_signals(signals: HeardAll | Failed) -> Iterator[Finding]:
    """Finite, of the right shape, in range, and the same again, whatever is heard."""
    if isinstance(signals, Failed):
        yield _failed("signals", signals)
        return
    for heard in signals.heard:
        yield from _judge_heard(heard)


def judge_cuts(cuts: Compared | Failed) -> Iterator[Finding]:
    """Chunked equals whole."""
    if isinstance(cuts, Failed):
        yield _failed("audio in one call, and in hops", cuts)
        return
    for deviation in _beyond(cuts, TOLERANCE):
        yield finding(
            "behaviour.chunked-not-whole",
            deviation.tensor,
            seen=_apart(deviation.furthest),
            allowed=f"{TOLERANCE:g}",
            message=f"{deviation.tensor} in {deviation.what} is {_apart(deviation.furthest)} away"
            " from the same audio in one call: what it needs of earlier audio must go through the"
            " state tensors",
        )


def judge_look_ahead(after: Compared | Failed) -> Iterator[Finding]:
    """No answer knows what comes after it."""
    if isinstance(after, Failed):
        yield _failed("audio that goes on in two ways", after)
        return
    for deviation in _beyond(after, TOLERANCE):
        yield finding(
            "behaviour.look-ahead",
            deviation.tensor,
            seen=_apart(deviation.furthest),
            allowed=f"{TOLERANCE:g}",
            message=f"{deviation.tensor} of earlier frames moves by {_apart(deviation.furthest)}"
            f" with {deviation.what}: make every layer causal, and answer look_ahead_frames later",
        )


def judge_context(context: Compared | Failed, manifest: Manifest) -> Iterator[Finding]:
    """The audio that is replayed into a moved stream is enough."""
    if isinstance(context, Failed):
        yield _failed("audio of context_seconds", context)
        return
    for deviation in _beyond(context, TOLERANCE):
        yield finding(
            "behaviour.context",
            "context_seconds",
            seen=_apart(deviation.furthest),
            allowed=f"{TOLERANCE:g}",
            message=f"context_seconds is {manifest.context_seconds:g}, but after that"
            f" {deviation.tensor} still moves by {_apart(deviation.furthest)} with"
            f" {deviation.what}: state at least the receptive field",
        )


def judge_batches(batches: Compared | Failed) -> Iterator[Finding]:
    """A row's answer is its own, to the bit: the service promises equal turns in any company."""
    if isinstance(batches, Failed):
        yield _failed("batches of 1 to 16 rows", batches)
        return
    for deviation in batches.deviations:
        rounding = deviation.furthest is not None and deviation.furthest <= TOLERANCE
        cure = (
            "only last bits differ, so its rows are independent but rounded otherwise: kernels"
            " such as Log, Exp and Sigmoid treat the last elements of a tensor apart; give each row"
            " a multiple of 16 of them (pad, then slice), or use operators that round alike"
            if rounding
            else "something in the graph mixes rows: normalise, pool and attend within a row alone"
        )
        yield finding(
            "behaviour.batch-independence",
            deviation.tensor,
            seen=_apart(deviation.furthest),
            allowed="0: the same bits as alone",
            message=f"{deviation.tensor} of {deviation.what} is {_apart(deviation.furthest)} away"
            f" from the same streams alone; {cure}",
        )


def furthest(compared: Compared | Failed) -> float:
    """Of all comparisons; -1 where it is no number or nothing was compared."""
    if isinstance(compared, Failed) or not compared.comparisons:
        return -1.0
    distances = [deviation.furthest for deviation in compared.deviations]
    return max((-1.0 if None in distances else d or 0.0 for d in distances), default=0.0)


def _compared(probe: Probe, question: str) -> Compared | Failed:
    return measured.read(Compared, probe.ask(question))


def _judge_heard(heard: Heard) -> Iterator[Finding]:
    for tensor in heard.not_finite:
        yield finding(
            "behaviour.not-finite",
            tensor,
            seen=f"NaN or infinity for {heard.signal}",
            allowed="finite numbers",
            message=f"{tensor} holds NaN or infinity for {heard.signal}: guard logarithms, roots,"
            " divisions and exponentials",
        )
    for shape in heard.misshapen:
        yield finding(
            "behaviour.shape",
            shape.tensor,
            seen=shape.seen,
            allowed=shape.allowed,
            message=f"{shape.tensor} is {shape.seen} for {heard.signal}; it must be"
            f" {shape.allowed}: rows and frames as they came in",
        )
    for probability in (heard.lowest, heard.highest):
        if probability is not None and not -RANGE_TOLERANCE <= probability <= 1 + RANGE_TOLERANCE:
            yield finding(
                "behaviour.range",
                "speech, activity",
                seen=f"{probability:g}",
                allowed="0 to 1",
                message=f"a probability is {probability:g} for {heard.signal}: end these outputs"
                " with a sigmoid or softmax",
            )
    if heard.furthest_length is not None and heard.furthest_length > LENGTH_TOLERANCE:
        yield finding(
            "behaviour.unit-length",
            "embedding",
            seen=f"a length {heard.furthest_length:g} away from 1",
            allowed=f"{LENGTH_TOLERANCE:g}",
            message=f"a speaker vector's length is {heard.furthest_length:g} away from 1 for"
            f" {heard.signal}: divide by the length, guarded against zero",
        )
    if not heard.repeated:
        yield finding(
            "behaviour.not-repeatable",
            MODEL_FILE,
            seen=f"two answers to {heard.signal}",
            allowed="one",
            message=f"the same input ({heard.signal}) gives another answer the second time: leave"
            " out random operators",
        )


def _failed(what: str, failed: Failed) -> Finding:
    return finding(
        "behaviour.run-failed",
        what,
        seen=failed.failed,
        allowed="an answer",
        message=f"ONNX Runtime could not compute {what}: {failed.failed}",
    )


def _beyond(compared: Compared, tolerance: float) -> list[measured.Deviation]:
    return [d for d in compared.deviations if d.furthest is None or d.furthest > tolerance]


def _apart(distance: float | None) -> str:
    return "no number" if distance is None else f"{distance:.3g}"

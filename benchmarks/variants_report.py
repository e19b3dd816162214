"""A model's variants beside it, as Markdown: for the report and for each variant's card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.variants_measured import Distance, Measured
from voiceflow.cli.evaluate.tables import number, table
from voiceflow_inference.serving.placing import How

WORSE_POINTS: Final = 1.0
"""Of DER: a variant that is farther above its original is said to be worse."""

_MOVED: Final = {
    How.CARRIED: "with their memory",
    How.REPLAYED: "by hearing their last audio again",
    How.TOLD: "not at all: they are told to resume",
}


def side_by_side(models: Sequence[Measured]) -> str:
    """A table with a column for each model, the original first."""
    original = models[0]
    rows = [["bytes of the graph", *(f"{one.model_bytes:,}" for one in models)]]
    rows += [
        [
            f"ms of CPU for a second of audio, {_streams(streams)}",
            *(number(one.milliseconds[streams], 2) for one in models),
        ]
        for streams in original.milliseconds
    ]
    rows += [
        [
            f"of the original's, {_streams(streams)}",
            *(number(one.of_original[streams], 2) for one in models),
        ]
        for streams in original.of_original
    ]
    for name in original.sets:
        scores = [one.sets[name] for one in models]
        rows += [
            [f"DER %, {name}", *(number(score.der_percent, 2) for score in scores)],
            [f"missed, {name}", *(number(score.missed_percent, 2) for score in scores)],
            [f"false alarm, {name}", *(number(score.false_alarm_percent, 2) for score in scores)],
            [f"confusion, {name}", *(number(score.confusion_percent, 2) for score in scores)],
        ]
    rows += [
        [what, *(_apart(one.distance, field, decimals) for one in models)]
        for what, field, decimals in (
            ("probabilities apart, greatest", "probability_greatest", 4),
            ("probabilities apart, mean", "probability_mean", 5),
            ("cosine of vectors, least", "cosine_least", 4),
            ("cosine of vectors, mean", "cosine_mean", 5),
        )
    ]
    return table(["", *(_short(one) for one in models)], rows)


def sentences(models: Sequence[Measured]) -> Iterator[str]:
    """What the table means, a paragraph for each variant."""
    original, *variants = models
    for one in variants:
        yield " ".join(_sentences(original, one))


def worse(original: Measured, variant: Measured) -> dict[str, float]:
    """By how many points of DER a variant is worse, by set, where that is more than allowed."""
    apart = {
        name: round(score.der_percent - original.sets[name].der_percent, 2)
        for name, score in variant.sets.items()
    }
    return {name: points for name, points in apart.items() if points > WORSE_POINTS}


def page(models: Sequence[Measured], remarks: Sequence[str]) -> str:
    """The report."""
    parts = [f"# Variants of {_short(models[0])}", *remarks, side_by_side(models)]
    return "\n\n".join([*parts, *sentences(models)])


def _sentences(original: Measured, one: Measured) -> Iterator[str]:
    spent = " and ".join(
        f"{100 * share:.0f} % {_streams(streams)}" for streams, share in one.of_original.items()
    )
    yield (
        f"`{_short(one)}`: its graph has {100 * one.model_bytes / original.model_bytes:.0f} % of"
        f" the original's bytes and takes, of the original's processor time, {spent}."
    )
    beyond = worse(original, one)
    if beyond:
        said = ", ".join(f"{points:g} points on {name}" for name, points in beyond.items())
        yield f"**Its DER is more than {WORSE_POINTS:g} point worse than the original's: {said}.**"
    elif one.sets:
        yield f"No set's DER is more than {WORSE_POINTS:g} point worse than the original's."
    stated, here = one.half
    if stated > here:
        won = "" if here else ", so that only bytes on disk and on the way are saved here"
        yield (
            f"ONNX Runtime computes {here} of its {stated} operations in half precision on this"
            f" processor, the others in float32, on weights that it widens when it loads them{won}."
        )
    if one.moves:
        there, back = (_MOVED[how] for how in one.moves)
        way = there if there == back else f"{there} to it, and back {back}"
        yield f"Streams move between the original and it {way}."
    rules = ", ".join(f"`{rule}`" for rule in one.broken_rules)
    yield f"Gates 1 to 4: {f'refused, {rules}' if rules else 'passed'}."


def _apart(far: Distance | None, field: str, decimals: int) -> str:
    value = getattr(far, field, None)
    return "-" if value is None else number(value, decimals)


def _streams(streams: str) -> str:
    return "with one stream" if streams == "1" else f"with {streams} streams at once"


def _short(one: Measured) -> str:
    """`diarizer 2.0.0`."""
    _, model, _, version = one.model.split("/")
    return f"{model} {version}"

"""Writes a model's card: a text in `cards/` with the manifest's facts and the measured figures."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any, Final

from training.batches import Recipe
from training.corpus import COPIES, TUNING_SPEAKERS
from training.products import Product
from training.shape import LOOK_AHEAD_FRAMES
from voiceflow.artifact import Manifest

LEVERS: Final = Path(__file__).parent / "measured" / "levers"
"""What `training.levers` has measured."""
_COMMON: Final = Path(__file__).parent / "cards" / "common.md"


def card(product: Product, manifest: Manifest, figures: dict[str, Any]) -> str:
    """The card's Markdown. `figures` is what `training.figures` wrote, or empty."""
    shape = product.shape
    text = (product.card.read_text("utf-8") + _COMMON.read_text("utf-8")).format(
        name=manifest.model,
        version=manifest.version,
        context=shape.context_frames * 0.04,
        window=(shape.window_frames or 0) * 0.04,
        channels=shape.channels,
        hidden=shape.hidden,
        held_out=", ".join(f"{count} of {name}" for name, count in TUNING_SPEAKERS.items()),
        held_out_count=sum(TUNING_SPEAKERS.values()),
        look_ahead=LOOK_AHEAD_FRAMES * 0.04,
        copies=len(COPIES),
        plain=Recipe(0).plain,
        untouched=Recipe(0).untouched,
        licence=manifest.licence,
        made=_made(figures),
        again=_again(product),
        voice_levers=_voice_levers(),
        conversation_levers=_levers("conversations"),
        pipeline_levers=_levers("pipeline"),
        error_rates=_error_rates(manifest),
        equal_errors=_equal_errors(figures),
        speech_error=_speech_error(figures),
        operating_point=_operating_point(manifest),
    )
    return "\n\n".join(_filled(block) for block in text.rstrip().split("\n\n")) + "\n"


def _filled(block: str) -> str:
    """The block with its lines filled, unless it is a table, a list or a heading."""
    if block.startswith(("|", "-", "#")):
        return block
    return textwrap.fill(" ".join(block.split()), 100, break_on_hyphens=False)


def _made(figures: dict[str, Any]) -> str:
    if "run" not in figures:
        return "This graph was exported while the training was still under way."
    run, plan = figures["run"], figures["run"]["plan"]
    remark = f" {run['remark']}" if "remark" in run else ""
    return (
        f"The run took {run['wall_minutes']} minutes on two "
        "cores, once the copies were made and the teachers asked."
        f"{remark} {run['steps']} steps with Muon and AdamW (peak rate {plan['peak_rate']}, "
        f"seed {plan['seed']}), {_alone(plan['crop_stage_steps'])}. The "
        f"network has {run['parameters'] / 1e6:.2f} M parameters, learned from {run['voices']} "
        f"voices and makes a graph of {figures['model_bytes'] / 1e6:.1f} MB. It needs "
        f"{figures['milliseconds_per_audio_second']} ms of one CPU core per second of audio (16 "
        f"streams at once, hops of 0.48 s, ONNX Runtime, on the machine of the training)."
    )


def _alone(steps: int) -> str:
    return f"the first {steps} of them on crops alone" if steps else "none of them on crops alone"


def _again(product: Product) -> str:
    again = f"`make train PRODUCT={product.name}` makes it again, from the same seed, at the "
    again += "source commit that the manifest names."
    if not product.begun_with:
        return again
    name, before = product.name, product.begun_with
    return (
        f"It began with the weights of {name} {before}. {again} It wants that version's training "
        f"in `var/training/{name}-{before}`: made in the same way, at that version's source "
        f"commit, in `var/training/{name}`."
    )


def _voice_levers() -> str:
    measured = _measured("voices")
    if not measured:
        return "Not yet measured."
    rows = [
        f"| {what} | {rates['as_recorded']:.1f} | {rates['elsewhere']:.1f} |"
        for what, rates in measured["equal_error_percent"].items()
    ]
    steps = f"{measured['steps']} steps on crops, from nothing"
    head = f"| {steps} | as recorded % | in rooms and noise % |\n|---|---|---|\n"
    return head + "\n".join(rows)


def _levers(kind: str) -> str:
    measured = _measured(kind)
    if not measured:
        return "Not yet measured."
    rows, parts = [], ("talks", "meetings")
    for what, rates in measured["error_rates_percent"].items():
        told = [rates[part][rate] for part in parts for rate in ("der", "confusion")]
        rows.append(" | ".join([f"| {what}", *(f"{value:.1f}" for value in told)]) + " |")
    more = f", {measured['steps']} steps more" if "steps" in measured else ""
    columns = "talks: DER % | confusion | meetings: DER % | confusion"
    head = f"| {measured['model']}{more} | {columns} |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows)


def _measured(kind: str) -> dict[str, Any]:
    path = LEVERS / f"{kind}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def _error_rates(manifest: Manifest) -> str:
    if not manifest.measured:
        return "Not yet measured for these weights."
    head = "| data | protocol | scorer | DER % | missed | false alarm | confusion |\n"
    rows = [
        f"| {m.data_set} | {m.protocol} | {m.scorer} | {m.der_percent:.1f} | "
        f"{m.missed_percent:.1f} | {m.false_alarm_percent:.1f} | {m.confusion_percent:.1f} |"
        for m in manifest.measured
    ]
    return head + "|---|---|---|---|---|---|---|\n" + "\n".join(rows)


def _equal_errors(figures: dict[str, Any]) -> str:
    if not figures:
        return "Not yet measured for these weights."
    rows = []
    for speakers, rates in figures["equal_error_percent"].items():
        each = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items() if name != "pooled")
        rows.append(f"| {speakers} | {rates['pooled']:.1f} | {each} |")
    head = "| speakers | pooled % | each set % |\n|---|---|---|\n"
    return head + "\n".join(rows)


def _speech_error(figures: dict[str, Any]) -> str:
    if not figures:
        return "not yet measured for these weights"
    error = figures["speech_error_percent"]
    return (
        f"{error['total']:.1f} % of the frames ({error['missed']:.1f} % missed, "
        f"{error['false_alarm']:.1f} % falsely heard)"
    )


def _operating_point(manifest: Manifest) -> str:
    rows = [f"| `{name}` | {value} |" for name, value in manifest.operating_point]
    return "| threshold | value |\n|---|---|\n" + "\n".join(rows)

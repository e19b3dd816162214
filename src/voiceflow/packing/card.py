"""The model card of a package whose publisher has written none yet: what has to be filled in."""

from __future__ import annotations

from typing import Final

from voiceflow.artifact import Manifest

UNFINISHED: Final = "TO BE FILLED IN"
"""Stands in a card where its publisher has not said yet what only they know."""


def is_unfinished(card: str) -> bool:
    """Whether a card still has something to be filled in."""
    return UNFINISHED in card


def skeleton(manifest: Manifest) -> str:
    """A card with what the manifest knows, and places for what it does not."""
    thresholds = "\n".join(f"| `{name}` | {value} |" for name, value in manifest.operating_point)
    data = ", ".join(manifest.training_data)
    return _TEXT.format(
        model=manifest.model,
        version=manifest.version,
        contract=manifest.contract,
        frame_milliseconds=round(1000 * manifest.frame_samples / manifest.sample_rate_hertz),
        look_ahead_seconds=round(
            manifest.look_ahead_frames * manifest.frame_samples / manifest.sample_rate_hertz, 3
        ),
        tracks=manifest.tracks,
        embedding_dim=manifest.embedding_dim,
        context_seconds=manifest.context_seconds,
        data=f"{data}. {UNFINISHED}: where it comes from, its licences." if data else UNFINISHED,
        error_rates=_error_rates(manifest),
        thresholds=thresholds,
        licence=manifest.licence,
        unfinished=UNFINISHED,
    )


def _error_rates(manifest: Manifest) -> str:
    if not manifest.measured:
        return f"{UNFINISHED}: data, protocol, scorer, and the rates; or that nothing was measured."
    rows = [
        f"| {one.data_set} | {one.protocol} | {one.scorer} | {one.der_percent:.1f} |"
        for one in manifest.measured
    ]
    return "| data | protocol | scorer | DER % |\n|---|---|---|---|\n" + "\n".join(rows)


_TEXT: Final = """\
# {model} {version}

{unfinished}: what it is for, in two or three sentences.

| | |
|---|---|
| contract | `{contract}` |
| output step | {frame_milliseconds} ms |
| look-ahead | {look_ahead_seconds} s |
| voices at once | {tracks} |
| speaker vector | {embedding_dim} numbers |
| rests on the last | {context_seconds} s |
| licence | {licence} |

## How it was made

{unfinished}: network, training, teacher if there was one, how to make it again.

## Data

{data}

## Figures

{error_rates}

## Operating point

| threshold | value |
|---|---|
{thresholds}

## Limits

{unfinished}: voices, languages, rooms and devices that it was not trained or not measured on.
"""

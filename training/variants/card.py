"""The card of a variant: what differs from its original, and where the rest stands."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Final

from voiceflow.artifact import Manifest
from voiceflow.package import MODEL_FILE


def card(variant: str, original: Manifest, claim: str, figures: str) -> str:
    """The card.

    Args:
        variant: `fp16` or `int8`.
        original: Manifest of the model that it was made of.
        claim: What of it means the same: `state`, `vectors` or `nothing`.
        figures: Markdown: the variant beside its original.
    """
    wrapped = {
        name: textwrap.fill(" ".join(text.split()), width=100)
        for name, text in (
            ("about", _ABOUT.format(model=original.model, version=original.version)),
            ("how", _HOW[variant]),
            ("claim", _CLAIMS[claim].format(model=original.model)),
        )
    }
    return _TEXT.format(
        variant=variant,
        model=original.model,
        version=original.version,
        digest=original.files[MODEL_FILE],
        figures=figures.strip(),
        licence=original.licence,
        **wrapped,
    )


_ABOUT: Final = """
    The network of `{model}` {version} with its weights rounded: nothing was trained again. What it
    takes, gives and is meant for, its data, its licence and its limits are those of the original,
    and stand in the original's card. Its thresholds are the original's, too.
"""

_HOW: Final[Mapping[str, str]] = {
    "fp16": """
        Weights and arithmetic are in half precision, from the features to the heads. Float32
        stay: inputs and outputs; the features up to their logarithm, because power spans more than
        half precision holds; what a stream remembers, which grows layer by layer to where
        neighbours in half precision are far apart; and the last step to probabilities and to
        vectors of unit length.
    """,
    "int8": """
        The inner dense layers multiply whole numbers of 8 bits: weights with a scale for each
        column (in 7 bits, so that processors without instructions for such products do not
        overflow), activations with a fixed scale, the range seen on conversations of held-out
        training speakers. The features, the first dense layer, the smallest ones, and everything
        between dense layers stay in float32.
    """,
}

_CLAIMS: Final[Mapping[str, str]] = {
    "state": """
        A stream's memory and its speaker vectors mean the same as in `{model}`, by the measure of
        the servers, in both directions: streams move between the two with their memory.
    """,
    "vectors": """
        Speaker vectors mean the same as in `{model}`, by the measure of the servers, in both
        directions. A stream's memory does not.
    """,
    "nothing": "Neither a stream's memory nor its speaker vectors mean the same as in `{model}`.",
}

_TEXT: Final = """\
# {model}-{variant} {version}

{about}

Written by `python -m benchmarks.variants`; do not edit.

## What differs

{how}

{claim}

Made of the graph {digest}.

## Figures

{figures}

## Limits

Those of `{model}` {version}. On other processors rounding differs more than in float32: golden
outputs hold to 0.01, and final turns may differ from one machine to another.

Licence: {licence}.
"""

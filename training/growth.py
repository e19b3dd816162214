"""The weights of a network for one with wider hidden layers, which then answers as it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

_HIDDEN: Final = ("widen.weight", "widen.bias", "embedding_hidden.weight", "embedding_hidden.bias")
"""Parameters with a row for each hidden unit."""
_OF_HIDDEN: Final = ("narrow.weight", "embedding.weight")
"""Parameters with a column for each."""


def grown(weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New hidden units begin as in a fresh network, and count for nothing yet (Net2Net, 2016).

    Args:
        weights: Of the network as it is, by name.
        fresh: Of an untrained one of the new shape.

    Raises:
        ValueError: Something else than hidden layers differs, or they are narrower.
    """
    taken = {}
    for name, own in fresh.items():
        old = weights[name]
        kept = torch.zeros_like(own) if name.endswith(_OF_HIDDEN) else own.clone()
        axis = 0 if name.endswith(_HIDDEN) else 1 if name.endswith(_OF_HIDDEN) else None
        for number, (before, now) in enumerate(zip(old.shape, own.shape, strict=True)):
            if before != now and (number != axis or before > now):
                raise ValueError(f"{name}: {tuple(old.shape)} do not grow to {tuple(own.shape)}")
        kept[tuple(map(slice, old.shape))] = old
        taken[name] = kept
    return taken

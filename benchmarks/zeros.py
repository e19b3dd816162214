"""Figures that may be nothing but zero."""

from __future__ import annotations

from collections.abc import Iterable


def not_zero(figures: object, names: Iterable[str]) -> list[str]:
    """What to say of those of the named figures that are not zero."""
    values = {name.replace("_", " "): getattr(figures, name) for name in names}
    return [f"{what}: {value}" for what, value in values.items() if value]

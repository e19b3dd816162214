"""Measures of single recordings that add up to that of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Self


class Additive:
    """A frozen dataclass of sums: rates are properties, made of what was added up.

    Numbers are added, tuples joined, mappings added key by key, additive values field by field.
    With all fields at their defaults it is nothing, so that `sum(values, Kind())` adds up many.
    """

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        value: Any = self
        sums = {
            field.name: _added(getattr(self, field.name), getattr(other, field.name))
            for field in fields(value)
        }
        total: Self = replace(value, **sums)
        return total


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        shared = {key: _added(one[key], other[key]) for key in one.keys() & other.keys()}
        return {**one, **other, **shared}
    return one + other

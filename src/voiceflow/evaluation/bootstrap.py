"""How sure a pooled rate is, were other recordings of the kind evaluated.

Percentile bootstrap (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter
13) over recordings: whole ones are drawn with replacement, as many as there are, since what one
recording gets wrong belongs together. With few recordings, or with the same speakers in many of
them, the interval is too narrow: it knows no recording that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

RESAMPLES: Final = 1000
COVERAGE_PERCENT: Final = 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """What a rate, in percent, lies between in `COVERAGE_PERCENT` of the resamples."""

    low: float
    high: float


def pooled_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of a pooled rate in percent, `100 * sum(numerators) / sum(denominators)`.

    Of a DER, these are seconds of error and of reference speech; of one system beside another on
    the same recordings, the seconds of error of both.

    Args:
        numerators: One for each recording.
        denominators: Likewise, none of them negative.
        resamples: How often recordings are drawn.
        seed: The same gives the same interval.

    Returns:
        NaN where there is no recording, or nothing to divide by.
    """
    values = np.array([numerators, denominators], np.float64)  # (2, recordings)
    recordings = values.shape[1]
    drawn = np.random.default_rng(seed).integers(recordings, size=(resamples, recordings))
    upper, lower = values[:, drawn].sum(axis=2)  # (resamples,)
    # A draw of recordings with nothing to divide by has no rate.
    rates = 100.0 * upper[lower > 0] / lower[lower > 0]
    if not len(rates):
        return Interval(math.nan, math.nan)
    beyond = (100.0 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(rates, [beyond, 100.0 - beyond])
    return Interval(float(low), float(high))

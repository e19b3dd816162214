"""Adds up how versions fare in pods, and sets two versions beside each other. Pure.

Bounds of a difference at 95 % confidence come from the smallest unit that can be taken for
independent and whose spread is known:

- Figures that are a ratio of two sums (turns a stream, label changes a minute, percent of hops):
  the hops and turns of one stream hang together, and only sums over a pod are known, so pods are
  the units. The variance of a ratio of sums r = sum(y) / sum(x) over n pods is taken as
  n / (n - 1) * sum((y - r * x)^2) / sum(x)^2: Cochran, Sampling Techniques, 3rd ed. (1977), sec. 6;
  also Deng, Knoblich and Lu, Applying the Delta Method in Metric Analytics (KDD 2018).
- The mean of clients' scores: streams are the units, their sum of squares is known.
- The percentage of failed streams: streams are the units; the hybrid score interval, method 10 of
  Newcombe, Interval estimation for the difference between independent proportions (1998).

The first two give r2 - r1 +- t * sqrt(v1 + v2), with Student's t for the degrees of freedom of
Welch (The generalization of "Student's" problem, 1947). There are no bounds where a side has fewer
than two units, or where nothing varies. A version that a pod serves beside the other makes both
vary together; that is left out, which makes the bounds rather too wide.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from voiceflow.catalog.pods import Comparison, Histogram, VersionOutcomes

_CONFIDENCE: Final = 0.95
_Z: Final = 1.959963984540054  # standard normal quantile of (1 + 0.95) / 2

_COUNTS: Final = (
    "streams",
    "failed_streams",
    "hops",
    "failed_hops",
    "non_finite_hops",
    "turns",
    "speakers",
    "speakers_merged",
    "label_changes",
    "score_count",
    "compared_frames",
    "differing_frames",
)
_SCORES: Final = ("score_sum", "score_sum_of_squares")
_LARGEST_COUNT: Final = 2**63 - 1
_LONGEST_SPEECH_SECONDS: Final = 315_576_000_000


def added_up(parts: Sequence[VersionOutcomes]) -> VersionOutcomes:
    """The sum of what pods report of one version, in any role; the role is that of the last part.

    A sum that a message cannot hold is the largest that it can.

    Args:
        parts: At least one.
    """
    sums = {
        name: min(sum(getattr(part, name) for part in parts), _LARGEST_COUNT) for name in _COUNTS
    }
    speech = min(sum(part.speech_seconds for part in parts), _LONGEST_SPEECH_SECONDS)
    scores = {name: _summed(getattr(part, name) for part in parts) for name in _SCORES}
    latency = merged([part.compute_latency_seconds for part in parts])
    return parts[-1].model_copy(
        update={
            **sums,
            **scores,
            "speech_seconds": speech,
            "compute_latency_seconds": latency,
        }
    )


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of histograms; where their bounds differ, over the bounds that all have.

    How many values do not exceed a bound is known exactly at every bound of a histogram, so nothing
    is guessed.
    """
    filled = [histogram for histogram in histograms if sum(histogram.counts)]
    if not filled:
        return Histogram()
    shared = set.intersection(*(set(histogram.upper_bounds) for histogram in filled))
    bounds = tuple(sorted(shared))
    counts = [0] * (len(bounds) + 1)
    for histogram in filled:
        up_to = dict(
            zip(histogram.upper_bounds, itertools.accumulate(histogram.counts), strict=False)
        )
        cumulative = [up_to[bound] for bound in bounds] + [sum(histogram.counts)]
        added = (high - low for low, high in itertools.pairwise([0, *cumulative]))
        counts = [count + more for count, more in zip(counts, added, strict=True)]
    return Histogram(
        upper_bounds=bounds,
        counts=tuple(min(count, _LARGEST_COUNT) for count in counts),
        sum=_summed(histogram.sum for histogram in filled),
    )


def quantile(histogram: Histogram, share: float) -> float | None:
    """A quantile, taking values for evenly spread between two bounds; None if there are none.

    What exceeds the last bound counts as if it were there, so that a quantile is never too high by
    a guess; the first bin begins at 0.

    Args:
        histogram: Of values that are not negative.
        share: 0.99 for P99.
    """
    total = sum(histogram.counts)
    if not total or not histogram.upper_bounds:
        return None
    cumulative = np.cumsum([0.0, *map(float, histogram.counts[:-1])])
    return float(np.interp(share * total, cumulative, [0.0, *histogram.upper_bounds]))


def comparisons(
    base: Sequence[VersionOutcomes], target: Sequence[VersionOutcomes]
) -> tuple[Comparison, ...]:
    """Every figure that both versions have.

    Args:
        base: What each pod reports of the one version, added up in the pod.
        target: Likewise of the other.
    """
    found = [
        comparison
        for figure in _RATIOS
        if (comparison := _ratio_comparison(figure, base, target)) is not None
    ]
    if base and target:
        whole = added_up(base), added_up(target)
        found += filter(None, (_failed_streams(*whole), _scores(*whole), _disagreement(*whole)))
        found += _latencies(*whole)
    return tuple(sorted(found, key=lambda comparison: comparison.name))


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A figure that is one sum divided by another."""

    name: str
    above: Callable[[VersionOutcomes], float]
    below: Callable[[VersionOutcomes], float]


_RATIOS: Final = (
    _Ratio("turns_per_stream", lambda of: of.turns, lambda of: of.streams),
    _Ratio("speakers_per_stream", lambda of: of.speakers, lambda of: of.streams),
    _Ratio(
        "merged_speakers_percent", lambda of: 100.0 * of.speakers_merged, lambda of: of.speakers
    ),
    _Ratio(
        "label_changes_per_speech_minute",
        lambda of: of.label_changes,
        lambda of: of.speech_seconds / 60.0,
    ),
    _Ratio("failed_hops_percent", lambda of: 100.0 * of.failed_hops, lambda of: of.hops),
    _Ratio("non_finite_hops_percent", lambda of: 100.0 * of.non_finite_hops, lambda of: of.hops),
)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A mean or ratio, the variance of that, and from how many units."""

    value: float
    variance: float
    units: int


def _summed(numbers: Iterable[float]) -> float:
    """The sum; where it is beyond the range of a float, the end of that."""
    return max(-sys.float_info.max, min(sum(numbers), sys.float_info.max))


def _ratio_comparison(
    figure: _Ratio, base: Sequence[VersionOutcomes], target: Sequence[VersionOutcomes]
) -> Comparison | None:
    estimates = [_ratio(figure, side) for side in (base, target)]
    if estimates[0] is None or estimates[1] is None:
        return None
    return _comparison(figure.name, estimates[0], estimates[1])


def _ratio(figure: _Ratio, pods: Sequence[VersionOutcomes]) -> _Estimate | None:
    above = np.array([figure.above(pod) for pod in pods], dtype=np.float64)  # (pods,)
    below = np.array([figure.below(pod) for pod in pods], dtype=np.float64)  # (pods,)
    used = below > 0.0
    above, below = above[used], below[used]
    units = len(below)
    if not units:
        return None
    ratio = float(above.sum() / below.sum())
    if units < 2:
        return _Estimate(ratio, math.nan, units)
    residuals = above - ratio * below
    variance = units / (units - 1) * float(residuals @ residuals) / float(below.sum()) ** 2
    return _Estimate(ratio, variance, units)


def _scores(base: VersionOutcomes, target: VersionOutcomes) -> Comparison | None:
    if not (base.score_count and target.score_count):
        return None
    return _comparison("mean_score", _mean_score(base), _mean_score(target))


def _mean_score(of: VersionOutcomes) -> _Estimate:
    count, mean = of.score_count, of.score_sum / of.score_count
    if count < 2:
        return _Estimate(mean, math.nan, count)
    spread = max(0.0, of.score_sum_of_squares - count * mean * mean)
    return _Estimate(mean, spread / (count - 1) / count, count)


def _comparison(name: str, base: _Estimate, target: _Estimate) -> Comparison:
    difference = target.value - base.value
    variance = base.variance + target.variance
    if not (math.isfinite(variance) and variance > 0.0):
        return Comparison(name=name, base=base.value, target=target.value)
    # As shares of the whole, whose squares leave the range of no float.
    shares = ((side.variance / variance, side.units) for side in (base, target))
    freedom = 1.0 / sum(share**2 / (units - 1) for share, units in shares)
    reach = float(special.stdtrit(freedom, (1.0 + _CONFIDENCE) / 2.0)) * math.sqrt(variance)
    return Comparison(
        name=name,
        base=base.value,
        target=target.value,
        difference_low=difference - reach,
        difference_high=difference + reach,
    )


def _failed_streams(base: VersionOutcomes, target: VersionOutcomes) -> Comparison | None:
    if not (base.streams and target.streams):
        return None
    (one, one_low, one_high), (two, two_low, two_high) = (
        _proportion(side.failed_streams, side.streams) for side in (base, target)
    )
    difference = two - one
    return Comparison(
        name="failed_streams_percent",
        base=100.0 * one,
        target=100.0 * two,
        difference_low=100.0 * (difference - math.hypot(two - two_low, one_high - one)),
        difference_high=100.0 * (difference + math.hypot(two_high - two, one - one_low)),
    )


def _proportion(count: int, total: int) -> tuple[float, float, float]:
    """A proportion, and Wilson's score interval for it."""
    share = min(1.0, count / total)
    centre = share + _Z**2 / (2 * total)
    reach = _Z * math.sqrt(share * (1.0 - share) / total + _Z**2 / (4 * total**2))
    scale = 1.0 + _Z**2 / total
    return share, max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def _disagreement(base: VersionOutcomes, target: VersionOutcomes) -> Comparison | None:
    """Of a shadow with the primary; a version that is no shadow does not differ from itself."""
    if not (base.compared_frames or target.compared_frames):
        return None
    one, two = (
        100.0 * side.differing_frames / side.compared_frames if side.compared_frames else 0.0
        for side in (base, target)
    )
    return Comparison(name="differing_frames_percent", base=one, target=two)


def _latencies(base: VersionOutcomes, target: VersionOutcomes) -> list[Comparison]:
    found = []
    for name, share in (("p50", 0.50), ("p99", 0.99)):
        one = quantile(base.compute_latency_seconds, share)
        two = quantile(target.compute_latency_seconds, share)
        if one is not None and two is not None:
            found.append(Comparison(name=f"compute_latency_{name}_seconds", base=one, target=two))
    return found

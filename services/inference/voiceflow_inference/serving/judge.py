"""When a pod leaves a version: rules against evidence. Pure.

NaN and infinity, and calls that do not come back, count for themselves, of any version. Errors,
latency and flicker count for a canary, by comparison with the primary, and only where chance is no
explanation:

- Failed hops, and calls slower than allowed, are compared with a largest allowed rate p by a test
  that may be looked at after every hop: the likelihood of what was seen, averaged over all rates
  above p with equal weight, divided by that under p. While the true rate is p or less, this ratio
  is a supermartingale that starts at 1, so it ever reaches 1 / a with probability at most a (Ville
  1939; Robbins, Statistical Methods Related to the Law of the Iterated Logarithm, 1970; Ramdas et
  al., Game-Theoretic Statistics and Safe Anytime-Valid Inference, 2023). The primary's own rate is
  taken as the largest that the same test does not refute.
- Latency: the two models' calls are measured one right after the other in one thread. A canary
  that is no slower than allowed exceeds the allowed ratio in at most half of the pairs: a sign
  test, which asks nothing of how times are distributed.
- Flicker: label changes a minute of speech is a ratio of two sums over streams, which are the
  units, because the changes of one stream hang together. Its variance is taken as in Cochran,
  Sampling Techniques, 3rd ed. (1977), sec. 6, and never as less than that of independent changes;
  the difference of logarithms is judged by Student's t.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Final

from scipy import special

from voiceflow.catalog.channels import RevertRules
from voiceflow.catalog.pods import Cause
from voiceflow_inference.serving.evidence import Evidence, Flicker

DEFAULT_RULES: Final = RevertRules(
    error_worse_points=1.0, slower_percent=20.0, flicker_worse_percent=50.0, non_finite_hops=0
)
"""Where nobody has set a policy."""

FALSE_ALARM: Final = 1e-6
"""How probable it is, at most, that chance alone convicts a canary that keeps to a rule."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule is broken.

    Attributes:
        cause: Which kind of rule.
        seen: What was seen, for people.
        allowed: In the same unit.
        hops: That the version had computed by then.
    """

    cause: Cause
    seen: str
    allowed: str
    hops: int


class Judge:
    """Looks at a version beside the primary, or alone."""

    def look(self, rules: RevertRules, subject: Evidence, base: Evidence | None) -> Breach | None:
        """The rule that a version breaks, if it does.

        Args:
            rules: Of the channel's policy.
            subject: What is known of the version.
            base: Of the primary, for a canary; None: there is nothing to compare with.
        """
        breach = _hang(rules, subject) or _non_finite(rules, subject)
        if breach is None and base is not None and subject.streams >= rules.minimum_streams:
            breach = _latency(rules, subject)
            if breach is None and base.streams >= rules.minimum_streams:
                breach = _errors(rules, subject, base) or _flicker(rules, subject, base)
        return breach


def _hang(rules: RevertRules, subject: Evidence) -> Breach | None:
    if not subject.hung:
        return None
    limit = rules.hang_after_seconds
    allowed = "one that does" if limit is None else f"one that does within {limit:g} s"
    return Breach(Cause.HANG, "a call that did not come back", allowed, subject.hops)


def _non_finite(rules: RevertRules, subject: Evidence) -> Breach | None:
    allowed = rules.non_finite_hops
    if allowed is None or subject.non_finite_hops <= allowed:
        return None
    return Breach(
        Cause.NON_FINITE,
        f"{subject.non_finite_hops} hops with NaN or infinity",
        f"{allowed} hops",
        subject.hops,
    )


def _latency(rules: RevertRules, subject: Evidence) -> Breach | None:
    if rules.slower_percent is None or not subject.pairs:
        return None
    allowed = 1.0 + rules.slower_percent / 100
    slower = sum(pair.subject_seconds > allowed * pair.base_seconds for pair in subject.pairs)
    if not _is_above(0.5, slower, len(subject.pairs)):
        return None
    ratio = statistics.median(
        pair.subject_seconds / max(pair.base_seconds, 1e-9) for pair in subject.pairs
    )
    return Breach(
        Cause.LATENCY,
        f"{100 * (ratio - 1):.0f} % slower than the primary, median of {len(subject.pairs)} calls",
        f"{rules.slower_percent:g} %",
        subject.hops,
    )


def _errors(rules: RevertRules, subject: Evidence, base: Evidence) -> Breach | None:
    if rules.error_worse_points is None or not subject.failed_hops:
        return None
    largest = _largest_rate(base.failed_hops, base.hops) + rules.error_worse_points / 100
    if not _is_above(largest, subject.failed_hops, subject.hops):
        return None
    own = 100 * base.failed_hops / base.hops
    return Breach(
        Cause.ERRORS,
        f"{100 * subject.failed_hops / subject.hops:.3g} % of hops failed",
        f"{rules.error_worse_points:g} points above the primary's {own:.3g} %",
        subject.hops,
    )


def _flicker(rules: RevertRules, subject: Evidence, base: Evidence) -> Breach | None:
    if rules.flicker_worse_percent is None:
        return None
    one, two = _changes_a_minute(subject.flicker), _changes_a_minute(base.flicker)
    if one is None or two is None:
        return None
    allowed = 1.0 + rules.flicker_worse_percent / 100
    excess = math.log(one.mean / (allowed * two.mean))
    # Welch, The generalization of "Student's" problem (1947).
    variance = one.variance + two.variance
    freedom = variance**2 / sum(mean.variance**2 / (mean.units - 1) for mean in (one, two))
    if float(special.stdtr(freedom, -excess / math.sqrt(variance))) > FALSE_ALARM:
        return None
    return Breach(
        Cause.FLICKER,
        f"{one.mean:.3g} label changes a minute of speech, {two.mean:.3g} of the primary",
        f"{allowed * two.mean:.3g}, {rules.flicker_worse_percent:g} % more than the primary",
        subject.hops,
    )


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean over streams, and the variance of its logarithm."""

    mean: float
    variance: float
    units: int


def _changes_a_minute(of: Flicker) -> _Mean | None:
    if of.streams < _STREAMS_THAT_TELL:
        return None
    changes = of.changes + 0.5  # none seen does not mean that there are none
    mean = changes / of.minutes
    residuals = of.changes_squared - 2 * mean * of.products + mean**2 * of.minutes_squared
    among_streams = of.streams / (of.streams - 1) * residuals / changes**2
    return _Mean(mean, max(among_streams, 1.0 / changes), of.streams)


_STREAMS_THAT_TELL: Final = 10
"""Fewer units say too little of their own spread."""


def _is_above(rate: float, seen: int, trials: int) -> bool:
    """Whether what was seen proves that the true rate is above this one."""
    return _log_ratio(rate, seen, trials) >= -math.log(FALSE_ALARM)


def _log_ratio(rate: float, seen: int, trials: int) -> float:
    """Log of the average likelihood over all rates above one, by that under it.

    The integral of p^k (1 - p)^(n - k) from the rate to 1 is an incomplete beta function.
    """
    if rate >= 1.0:
        return -math.inf
    if rate <= 0.0:
        return math.inf if seen else 0.0
    a, b = seen + 1, trials - seen + 1
    share = float(special.betaincc(a, b, rate))
    if not share:  # what was seen lies so far below the rate that no float holds it
        return -math.inf
    average = float(special.betaln(a, b)) + math.log(share) - math.log1p(-rate)
    return average - seen * math.log(rate) - (trials - seen) * math.log1p(-rate)


def _largest_rate(seen: int, trials: int) -> float:
    """The largest rate that what was seen does not refute; 1 where nothing was seen at all."""
    low, high = seen / max(trials, 1), 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # That a rate is below this one is that its complement is above.
        refuted = _is_above(1.0 - middle, trials - seen, trials)
        low, high = (low, middle) if refuted else (middle, high)
    return high


_HALVINGS: Final = 20

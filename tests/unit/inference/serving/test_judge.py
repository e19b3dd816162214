"""A version is left for what rules forbid, and a good canary is not left by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.catalog.channels import RevertRules
from voiceflow.catalog.pods import Cause
from voiceflow_inference.serving import judge
from voiceflow_inference.serving.evidence import Evidence, Flicker, Pair
from voiceflow_inference.serving.judge import DEFAULT_RULES, Judge
from voiceflow_inference.serving.tally import MAXIMUM_PAIRS

LOOK = Judge().look
PRIMARY = Evidence(streams=100, hops=100_000, failed_hops=0)


def cause(
    subject: Evidence, base: Evidence | None = PRIMARY, rules: RevertRules = DEFAULT_RULES
) -> Cause | None:
    """Why a version is left."""
    breach = LOOK(rules, subject, base)
    return None if breach is None else breach.cause


def calls(slower: float, seed: int, number: int = MAXIMUM_PAIRS) -> tuple[Pair, ...]:
    """Pairs of which the second takes `slower` times as long, with a machine's noise."""
    rng = np.random.default_rng(seed)
    noise = np.exp(0.06 * rng.standard_normal((number, 2))) + rng.exponential(0.05, (number, 2))
    return tuple(Pair(slower * one, two) for one, two in 0.002 * noise)


def until_left(pairs: tuple[Pair, ...], rules: RevertRules = DEFAULT_RULES) -> int | None:
    """How many pairs it took, looking after each."""
    for number in range(1, len(pairs) + 1):
        if cause(Evidence(pairs=pairs[:number]), rules=rules) is Cause.LATENCY:
            return number
    return None


def flicker(a_minute: float, streams: int, seed: int) -> Flicker:
    """Streams of five minutes, some of which are much harder than others."""
    rng = np.random.default_rng(seed)
    hardness = rng.gamma(0.5, 2.0, streams)
    total = Flicker()
    for changes in rng.poisson(5 * a_minute * hardness):
        total = total.with_stream(int(changes), 5.0)
    return total


def test_a_call_that_does_not_come_back_counts_for_any_version() -> None:
    """Also for the primary, and where no policy says how long is too long."""
    for rules in (RevertRules(), RevertRules(hang_after_seconds=2.0, minimum_streams=10)):
        assert cause(Evidence(hung=True), None, rules) is Cause.HANG


def test_nan_and_infinity_count_for_any_version() -> None:
    """As many as the policy allows are no breach; one more is."""
    rules = RevertRules(non_finite_hops=2, minimum_streams=10)
    assert cause(Evidence(hops=50, non_finite_hops=2, failed_hops=2), None, rules) is None
    assert cause(Evidence(hops=50, non_finite_hops=3, failed_hops=3), None, rules) is (
        Cause.NON_FINITE
    )
    assert cause(Evidence(hops=50, non_finite_hops=1, failed_hops=1), None) is Cause.NON_FINITE


def test_a_rule_that_is_not_set_does_not_bound() -> None:
    """Whatever is seen."""
    awful = Evidence(
        streams=100,
        hops=100,
        failed_hops=100,
        non_finite_hops=100,
        flicker=flicker(100.0, 100, 0),
        pairs=calls(10.0, 0),
    )
    base = Evidence(streams=100, hops=10**6, flicker=flicker(0.1, 100, 1))
    assert cause(awful, base, RevertRules()) is None
    for rules, why in (
        (RevertRules(non_finite_hops=99), Cause.NON_FINITE),
        (RevertRules(slower_percent=20.0), Cause.LATENCY),
        (RevertRules(error_worse_points=1.0), Cause.ERRORS),
        (RevertRules(flicker_worse_percent=50.0), Cause.FLICKER),
    ):
        assert cause(awful, base, rules) is why


def test_only_a_canary_is_compared() -> None:
    """A primary and a shadow have nothing beside them that serves the same share."""
    slow = Evidence(hops=1000, failed_hops=900, pairs=calls(10.0, 0))
    assert cause(slow, None) is None
    assert cause(slow) is Cause.LATENCY


def test_ratios_count_from_the_minimum_of_streams_on() -> None:
    """Of the canary for its latency, of both for what each of them has done."""
    rules = DEFAULT_RULES.model_copy(update={"minimum_streams": 10})
    slow, failing = {"pairs": calls(2.0, 0)}, {"hops": 100, "failed_hops": 50}
    assert cause(Evidence(streams=9, **slow), rules=rules) is None  # type: ignore[arg-type]
    assert cause(Evidence(streams=10, **slow), rules=rules) is Cause.LATENCY  # type: ignore[arg-type]
    fresh = Evidence(streams=9, hops=100_000)
    assert cause(Evidence(streams=10, **failing), fresh, rules) is None  # type: ignore[arg-type]
    assert cause(Evidence(streams=10, **failing), PRIMARY, rules) is Cause.ERRORS  # type: ignore[arg-type]


def test_thirty_percent_more_latency_is_found() -> None:
    """Though calls of one model differ by a tenth among themselves; mostly within 100 pairs."""
    found = [until_left(calls(1.3, seed)) for seed in range(20)]
    numbers = sorted(number for number in found if number is not None)
    assert len(numbers) == 20
    assert numbers[10] <= 100


def test_a_steady_thirty_percent_more_latency_is_found_in_24_pairs() -> None:
    """The fewest that chance does not explain."""
    assert until_left((Pair(1.3, 1.0),) * 100) == 24
    assert until_left((Pair(1.19, 1.0),) * MAXIMUM_PAIRS) is None


def test_a_canary_as_fast_as_the_primary_stays() -> None:
    """Looked at after each pair, in twenty runs; also one that is slower, but as allowed."""
    for seed in range(20):
        assert until_left(calls(1.0, seed)) is None
        assert until_left(calls(1.15, 100 + seed)) is None


def test_how_slow_is_told_as_a_median() -> None:
    """For people, in the unit of the rule."""
    breach = LOOK(DEFAULT_RULES, Evidence(hops=4000, pairs=(Pair(1.3, 1.0),) * 30), PRIMARY)
    assert breach is not None
    assert breach.seen == "30 % slower than the primary, median of 30 calls"
    assert breach.allowed == "20 %"
    assert breach.hops == 4000


def test_failed_hops_are_compared_with_the_primarys() -> None:
    """A canary that fails as often as the primary, or little more, has done nothing wrong."""
    base = Evidence(hops=10**6, failed_hops=10_000)
    assert cause(Evidence(hops=100_000, failed_hops=1000), base) is None
    assert cause(Evidence(hops=100_000, failed_hops=1900), base) is None
    assert cause(Evidence(hops=10_000, failed_hops=400), base) is Cause.ERRORS
    assert cause(Evidence(hops=10_000, failed_hops=400)) is Cause.ERRORS


def test_one_failed_hop_is_chance_and_four_in_a_row_are_not() -> None:
    """A canary that fails its first hop has failed 100 % of them, and proved little."""
    assert cause(Evidence(hops=1, failed_hops=1), Evidence(hops=10**6)) is None
    assert cause(Evidence(hops=4, failed_hops=4), Evidence(hops=10**6)) is Cause.ERRORS


def test_a_primary_of_which_little_is_known_convicts_nobody() -> None:
    """It may be no better."""
    failing = Evidence(hops=20, failed_hops=10)
    assert cause(failing, Evidence()) is None
    assert cause(failing, Evidence(hops=10)) is None
    assert cause(failing, Evidence(hops=10_000)) is Cause.ERRORS


def test_more_flicker_than_allowed_is_found() -> None:
    """Six times the primary's in most runs of sixty streams, though some are harder by far."""
    found = [
        cause(Evidence(flicker=flicker(6.0, 60, seed)), Evidence(flicker=flicker(1.0, 400, seed)))
        for seed in range(10)
    ]
    assert found.count(Cause.FLICKER) >= 5
    assert cause(
        Evidence(flicker=flicker(12.0, 200, 0)), Evidence(flicker=flicker(1.0, 400, 1))
    ) is (Cause.FLICKER)


def test_a_canary_that_flickers_like_the_primary_stays() -> None:
    """Or as much more as is allowed: over few streams and many, some of which are far harder."""
    for seed in range(200):
        for streams, a_minute in ((10, 2.0), (40, 2.0), (10, 3.0), (40, 3.0), (200, 3.0)):
            one, two = flicker(a_minute, streams, 2 * seed), flicker(2.0, 200, 2 * seed + 1)
            assert cause(Evidence(flicker=one), Evidence(flicker=two)) is None


def test_streams_that_happen_to_be_alike_convict_nobody_of_flicker() -> None:
    """A dozen with two changes each beside a dozen with one: no spread, and little seen."""
    one, two = Flicker(), Flicker()
    for _ in range(12):
        one, two = one.with_stream(2, 1.0), two.with_stream(1, 1.0)
    assert cause(Evidence(flicker=one), Evidence(flicker=two)) is None


def test_a_few_streams_convict_nobody_of_flicker() -> None:
    """Fewer than ten say too little of their own spread."""
    for streams in range(10):
        few = Evidence(flicker=Flicker().with_stream(1, 1.0))
        for number in range(streams):
            few = Evidence(flicker=few.flicker.with_stream(1000 + number, 1.0))
        if streams < 9:
            assert cause(few, Evidence(flicker=flicker(1.0, 100, 0))) is None


@given(st.integers(0, 10**6), st.floats(0, 1), st.lists(st.integers(0, 50), max_size=40), st.data())
def test_a_canary_that_does_what_the_primary_does_breaks_no_rule(
    hops: int, failing: float, changes: list[int], data: st.DataObject
) -> None:
    """Whatever that is."""
    total = Flicker()
    for number in changes:
        total = total.with_stream(number, data.draw(st.floats(0.1, 100.0)))
    same = Evidence(
        streams=len(changes),
        hops=hops,
        failed_hops=round(hops * failing),
        flicker=total,
        pairs=tuple(Pair(t, t) for t in data.draw(st.lists(st.floats(0, 1), max_size=60))),
    )
    assert cause(same, same) is None


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("trials", [1, 24, 200])
def test_the_ratio_is_one_on_average_where_the_rate_is_allowed(rate: float, trials: int) -> None:
    """By an exact sum over all that can be seen: the claim from which the bound follows."""
    averages = [
        sum(
            math.comb(trials, seen)
            * math.exp(
                judge._log_ratio(rate, seen, trials)
                + seen * math.log(share * rate)
                + (trials - seen) * math.log1p(-share * rate)
            )
            for seen in range(trials + 1)
        )
        for share in (1.0, 0.7, 0.1)
    ]
    assert averages[0] == pytest.approx(1.0)
    assert max(averages) <= 1 + 1e-6


def test_looking_often_convicts_nobody() -> None:
    """At the very rate that is allowed, two thousand runs of which every hop is looked at."""
    rng = np.random.default_rng(0)
    threshold = math.log(100)
    passed = 0
    for _ in range(2000):
        seen: Iterator[int] = accumulate((rng.random(200) < 0.5).astype(int).tolist())
        passed += any(
            judge._log_ratio(0.5, count, number) >= threshold
            for number, count in enumerate(seen, 1)
        )
    assert passed <= 2000 / 100


def test_the_largest_rate_is_not_refuted_and_little_above_it_is() -> None:
    """A bound that closes in on what was seen; nothing seen bounds nothing."""
    assert judge._largest_rate(0, 0) == 1.0
    for seen, trials in ((0, 100), (3, 1000), (5000, 10_000), (10, 10)):
        largest = judge._largest_rate(seen, trials)
        assert largest >= seen / trials
        if largest < 1.0:
            assert judge._is_above(1 - largest, trials - seen, trials)
            assert not judge._is_above(1 - 0.99 * largest, trials - seen, trials)
    assert judge._largest_rate(0, 10**6) < 2e-5

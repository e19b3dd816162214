"""What a pod does with a version goes on in the trace of the promotion that wants it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from tests.fakes.metrics import counted
from tests.fakes.spans import Recorded, recorded, span_id
from tests.unit.inference.serving.pods import CHANNEL, pin, pod, wanted
from voiceflow.catalog.channels import PromotionKind, Role
from voiceflow.errors import PackageInvalid, Unavailable
from voiceflow_inference.batcher import BatchRun, Urgency
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How
from voiceflow_inference.serving.since import Promoted, Since
from voiceflow_inference.serving.state import Wanted

SWAPS, DRAINS, REVERTS = "voiceflow.swaps", "voiceflow.drains", "voiceflow.reverts"
MOVES = "voiceflow.stream.moves"
RELOAD = ["download", "match", "swap", "drain"]
_ROLE_KEYS = {"channel", "promotion", "primary", "canary", "shadow"}
OLD, NEW = pin("1.0.0").version, pin("2.0.0").version


def promoted(sequence: int, version: str, canary: str = "", *, kept: bool = True) -> Wanted:
    """A promotion under a span of its own: the trace is known by the sequence."""
    parent = f"00-{sequence:032x}-{sequence:016x}-0{int(kept)}"
    return replace(wanted(sequence, version, canary), trace_parent=parent)


def of(spans: Recorded, sequence: int) -> list[str]:
    """The verbs in the trace of a promotion, in the order of their ends."""
    for span in spans.ended:
        if trace_of(span) == sequence:
            assert span.parent is not None
            assert span.parent.span_id == sequence
    return [span.name.rpartition(".")[2] for span in spans.ended if trace_of(span) == sequence]


def has_drained(spans: Recorded, sequence: int) -> bool:
    """Whether what a promotion has replaced is drained."""
    return "drain" in of(spans, sequence)


def trace_of(span: ReadableSpan) -> int:
    """The trace that a span belongs to."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


def told(span: ReadableSpan) -> dict[str, Any]:
    """Attributes of a span."""
    return dict(span.attributes or {})


def spoil(generation: Generation) -> None:
    """A hop of it had NaN."""
    generation.tally.add_batch(BatchRun(50, 0, 1, 0.0, Urgency.LIVE))


async def test_a_reload_is_a_part_of_its_promotion() -> None:
    """Download and swap are children of what the promotion was made under, and say of what."""
    counted(SWAPS)
    before = counted(SWAPS, version=NEW)
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: of(spans, 2) == RELOAD)
        assert spans.unended() == []
    assert of(spans, 1) == ["download", "swap"]
    swap = spans.named("voiceflow.model.swap")[-1]
    assert told(swap) == {
        "voiceflow.model.version": NEW,
        "voiceflow.generation": 2,
        "voiceflow.outcome": "OK",
        "voiceflow.promotion.sequence": 2,
        "voiceflow.rollout": promoted(2, "2.0.0").rollout.in_short,
        "voiceflow.primary.version": NEW,
    }
    assert counted(SWAPS, version=NEW) == before + 1


async def test_a_swap_says_who_has_which_role_since_which_promotion() -> None:
    """All that the promotion names: also what is still to be loaded."""
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    since = {
        Role.PRIMARY: Since(3, PromotionKind.ROLLBACK, noon - timedelta(hours=1), or_earlier=False),
        Role.CANARY: Since(4, PromotionKind.PROMOTE, noon, or_earlier=True),
    }
    first = promoted(4, "1.0.0", "2.0.0")
    told_of = Promoted(first.rollout, PromotionKind.PROMOTE, noon, since)
    with recorded() as spans:
        async with pod(replace(first, promoted=told_of)) as played:
            await played.until(lambda: len(spans.named("voiceflow.model.swap")) == 2)
    swap, both = (told(span) for span in spans.named("voiceflow.model.swap"))
    assert swap["voiceflow.rollout"] == "1.0.0"
    assert both["voiceflow.rollout"] == first.rollout.in_short
    for one in (swap, both):
        assert {key: one[key] for key in one if key.split(".")[1] in _ROLE_KEYS} == {
            "voiceflow.channel": str(CHANNEL),
            "voiceflow.promotion.sequence": 4,
            "voiceflow.promotion.kind": "promote",
            "voiceflow.promotion.commit_time": "2026-11-22T12:00:00+00:00",
            "voiceflow.primary.version": OLD,
            "voiceflow.primary.since.sequence": 3,
            "voiceflow.primary.since.kind": "rollback",
            "voiceflow.primary.since.commit_time": "2026-11-22T11:00:00+00:00",
            "voiceflow.primary.since.or_earlier": False,
            "voiceflow.canary.version": NEW,
            "voiceflow.canary.since.sequence": 4,
            "voiceflow.canary.since.kind": "promote",
            "voiceflow.canary.since.commit_time": "2026-11-22T12:00:00+00:00",
            "voiceflow.canary.since.or_earlier": True,
        }


async def test_what_a_promotion_leaves_out_of_traces_a_reload_keeps() -> None:
    """Reloads are few, and each is one that somebody may ask for."""
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0", kept=False)) as played:
            played.source.want(promoted(2, "2.0.0", kept=False))
            await played.until(lambda: of(spans, 2) == RELOAD)
    assert of(spans, 1) == ["download", "swap"]


async def test_a_promotion_without_a_trace_gets_one() -> None:
    """So do versions from a folder: the steps of one reload are found together."""
    with recorded() as spans:
        async with pod(wanted(1, "1.0.0")):
            pass
    (begin,) = spans.named("voiceflow.model.reload")
    assert begin.parent is None
    steps = [span for span in spans.ended if span is not begin]
    assert [span.name for span in steps] == ["voiceflow.model.download", "voiceflow.model.swap"]
    assert {span.parent.span_id for span in steps if span.parent} == {span_id(begin)}


async def test_a_canary_swaps_roles_and_not_the_primary() -> None:
    """The step has its span; swaps are counted where the primary is another."""
    counted(SWAPS)
    async with pod(promoted(1, "1.0.0")) as played:
        before = counted(SWAPS)
        with recorded() as spans:
            played.source.want(promoted(2, "1.0.0", "2.0.0"))
            await played.until(lambda: of(spans, 2)[-3:] == RELOAD[:-1])
        assert counted(SWAPS) == before


async def test_a_drain_is_told_when_the_last_stream_has_left() -> None:
    """Under the promotion that replaced the version, from that moment on, and once."""
    counted(DRAINS)
    async with pod(promoted(1, "1.0.0")) as played:
        before = counted(DRAINS, version=OLD)
        stream = played.stream()
        with recorded() as spans:
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: played.states().get("1.0.0") == "draining")
            played.now += 30.0
            played.manager._look()
            assert spans.named("voiceflow.model.drain") == []
            played.end(stream)
            await played.until(lambda: spans.named("voiceflow.model.drain"))
            played.manager._look()
        (drain,) = spans.named("voiceflow.model.drain")
        assert told(drain) == {"voiceflow.model.version": OLD, "voiceflow.generation": 1}
        assert trace_of(drain) == 2
        assert drain.start_time is not None
        assert drain.end_time is not None
        assert drain.end_time - drain.start_time >= 30 * 10**9
        assert counted(DRAINS, version=OLD) == before + 1


async def test_a_version_that_is_taken_back_drains_anew_when_it_is_left_again() -> None:
    """Each time that it is replaced has a drain of its own."""
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            for sequence, version in ((2, "2.0.0"), (3, "1.0.0"), (4, "2.0.0")):
                played.source.want(promoted(sequence, version))
                await played.until(partial(has_drained, spans, sequence))
    drains = spans.named("voiceflow.model.drain")
    assert [told(drain)["voiceflow.model.version"] for drain in drains] == [OLD, NEW, OLD]


async def test_a_revert_is_told_under_the_promotion_that_is_left() -> None:
    """With the version and why; the swap back is the next step of the pod."""
    counted(REVERTS)
    before = counted(REVERTS, version=NEW, reason="NON_FINITE")
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
            spoil(played.loaded("2.0.0"))
            await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        assert spans.unended() == []
    assert "revert" in of(spans, 2)
    (revert,) = spans.named("voiceflow.model.revert")
    assert told(revert) == {
        "voiceflow.model.version": NEW,
        "voiceflow.generation": 2,
        "voiceflow.outcome": "OK",
        "voiceflow.reason": "NON_FINITE",
        "voiceflow.promotion.sequence": 2,
    }
    assert of(spans, 1)[-2:] == ["swap", "drain"]  # of what was left
    assert counted(REVERTS, version=NEW, reason="NON_FINITE") == before + 1


async def test_a_step_that_fails_says_why_in_a_word() -> None:
    """A download that does not come: the reason, and no text of the error."""
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            secret = Unavailable("a secret", reason="REGISTRY_AWAY")
            played.source.errors[pin("2.0.0")] = secret
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: of(spans, 2) == ["download"])
        assert spans.unended() == []
    failed = spans.named("voiceflow.model.download")[-1]
    assert told(failed)["voiceflow.outcome"] == "REGISTRY_AWAY"
    assert failed.status.status_code is StatusCode.ERROR
    assert "secret" not in failed.to_json()


async def test_a_version_that_cannot_be_loaded_is_a_revert_of_its_promotion() -> None:
    """The pod goes on with what it has, and the trace says what was wrong."""
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            played.workshop.errors[pin("2.0.0")] = PackageInvalid("no", reason="GOLDEN_MISMATCH")
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: of(spans, 2) == ["download", "revert"])
    (revert,) = spans.named("voiceflow.model.revert")
    assert told(revert)["voiceflow.reason"] == "GOLDEN_MISMATCH"


async def test_a_load_that_is_given_up_leaves_no_span_open() -> None:
    """Another promotion comes while the first is being fetched."""
    with recorded() as spans:
        async with pod(promoted(1, "1.0.0")) as played:
            played.workshop.closed[pin("2.0.0")] = asyncio.Event()
            played.source.want(promoted(2, "2.0.0"))
            await played.until(lambda: pin("2.0.0") in played.workshop.loads)
            played.source.want(promoted(3, "3.0.0"))
            await played.until(lambda: "swap" in of(spans, 3))
        assert spans.unended() == []
    assert of(spans, 2) == ["download"]


@pytest.mark.parametrize("how", [How.CARRIED, How.TOLD])
async def test_moves_are_counted_by_how(how: How) -> None:
    """Those that are carried, and those that are told to go."""
    counted(MOVES)
    before = counted(MOVES, how=how.value)
    async with pod(promoted(1, "1.0.0"), how=how) as played:
        stream = played.stream()
        played.source.want(promoted(2, "2.0.0"))
        await played.until(lambda: played.states().get("1.0.0") == "draining")
        played.now += 1000.0
        await played.until(lambda: stream.told)
        await played.until(lambda: counted(MOVES, how=how.value) == before + 1)

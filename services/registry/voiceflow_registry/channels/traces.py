"""The trace of a promotion: from its wish, through its commit, to every watcher that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from voiceflow.catalog.channels import Promotion, PromotionKind
from voiceflow.catalog.names import ChannelName
from voiceflow.telemetry.context import context_of
from voiceflow.telemetry.metrics import PROMOTIONS, WATCH_DELAY
from voiceflow.telemetry.spans import telling

_TRACER: Final = trace.get_tracer("voiceflow")


@contextmanager
def promoting(name: ChannelName, kind: PromotionKind, *, validate_only: bool) -> Iterator[Span]:
    """A wish is judged and committed while the block runs; the promotion's trace goes on from it.

    Args:
        name: The channel.
        kind: What the wish is.
        validate_only: It is only judged.
    """
    word = "promote" if kind is PromotionKind.PROMOTE else "rollback"
    attributes = {
        "voiceflow.channel": str(name),
        "voiceflow.promotion.kind": kind.value,
        "voiceflow.validate_only": validate_only,
    }
    with telling(f"voiceflow.{word}", attributes) as span:
        yield span


def tell(span: Span, promotion: Promotion) -> None:
    """What has come of a wish: the promotion that answers it."""
    span.set_attributes(_attributes(promotion))


def count(name: ChannelName, promotion: Promotion) -> None:
    """A promotion was committed."""
    kind = promotion.kind.value
    PROMOTIONS.add(1, {"model": name.model, "channel": name.channel, "kind": kind})


@contextmanager
def delivering(promotion: Promotion, clock: Callable[[], datetime]) -> Iterator[None]:
    """A watcher is told of a promotion that has just come, while the block runs.

    The span is no current one: the block yields to whoever tells. The delay is from one replica's
    clock to another's; where they differ, none is less than 0.

    Args:
        promotion: Which.
        clock: As the commit's.
    """
    span: Span = trace.INVALID_SPAN
    if promotion.trace_parent:
        span = _TRACER.start_span(
            "voiceflow.watch.deliver",
            context_of(promotion.trace_parent, kept=True),
            kind=SpanKind.PRODUCER,
            attributes=_attributes(promotion),
        )
    try:
        yield
        delay_seconds = max(0.0, (clock() - promotion.commit_time).total_seconds())
        WATCH_DELAY.record(delay_seconds)
        span.set_attribute("voiceflow.watch.delay_seconds", delay_seconds)
    except BaseException:
        span.set_status(Status(StatusCode.ERROR, "the watcher has left"))
        raise
    finally:
        span.end()


def _attributes(promotion: Promotion) -> dict[str, str | int]:
    return {
        "voiceflow.channel": promotion.name.rpartition("/promotions/")[0],
        "voiceflow.promotion.sequence": promotion.sequence,
        "voiceflow.promotion.kind": promotion.kind.value,
        "voiceflow.rollout": promotion.rollout.in_short,
        "voiceflow.model.version": promotion.rollout.primary.version,
    }

"""Spans of the life of a version in this pod, under the promotion that wants it; all are kept.

voiceflow.model.download ─▶ verify ─▶ warm ─▶ match ─▶ swap ─▶ drain of the one before
└─▶ revert, where it is left
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span

from voiceflow.catalog.channels import Role
from voiceflow.catalog.names import ChannelName
from voiceflow.telemetry.context import context_of, trace_parent
from voiceflow.telemetry.metrics import DRAINS, REVERTS, SWAPS
from voiceflow.telemetry.spans import telling
from voiceflow_inference.serving.policy import Assign, Load
from voiceflow_inference.serving.state import Failure, Snapshot, Wanted


@contextmanager
def step(verb: str, version: str, generation: int = 0) -> Iterator[Span]:
    """A span of one step, under the current one; an error is told by its reason.

    Args:
        verb: `download`, `verify`, `warm`, `match` (how streams get to it from what is loaded),
            `swap`, `revert`.
        version: `models/{model}/versions/{semver}`.
        generation: Its number in this process; 0: it has none yet.
    """
    with telling(f"voiceflow.model.{verb}", _attributes(version, generation)) as span:
        yield span


@contextmanager
def loading(snapshot: Snapshot, action: Load) -> Iterator[None]:
    """Tasks that begin in the block load a version for the promotion that wants it."""
    with under(_promotion(snapshot, action.sequence)):
        yield


@contextmanager
def swapping(channel: ChannelName, before: Snapshot, action: Assign) -> Iterator[None]:
    """Roles are given while the block runs; the span says which, and by which promotion."""
    wanted, number = action.wanted, action.roles[Role.PRIMARY]
    version = wanted.rollout.primary.version
    with under(wanted.trace_parent), step("swap", version, number) as span:
        span.set_attribute("voiceflow.rollout", wanted.rollout.in_short)
        span.set_attribute("voiceflow.promotion.sequence", wanted.sequence)
        span.set_attributes(_roles(channel, wanted))
        yield
    replaced = before.assigned().get(Role.PRIMARY)
    if replaced is None or replaced.number != number:
        SWAPS.add(1, {"version": version})


@contextmanager
def reverting(snapshot: Snapshot, failure: Failure) -> Iterator[None]:
    """A version is left for good while the block runs."""
    version = failure.pin.version
    with (
        under(_promotion(snapshot, failure.sequence)),
        step("revert", version, failure.number) as span,
    ):
        span.set_attribute("voiceflow.reason", failure.reason)
        span.set_attribute("voiceflow.promotion.sequence", failure.sequence)
        yield
    REVERTS.add(1, {"version": version, "reason": failure.reason})


@contextmanager
def under(promotion: str) -> Iterator[None]:
    """What begins in the block, tasks too, belongs to the trace of a promotion, and is kept.

    Args:
        promotion: Its traceparent; empty: nothing is known of it.
    """
    token = attach(context_of(promotion, kept=True))
    try:
        yield
    finally:
        detach(token)


def new_trace() -> str:
    """For a promotion that brings none: where its trace goes on."""
    with under(""), _TRACER.start_as_current_span("voiceflow.model.reload"):
        return trace_parent()


class Drains:
    """Tells of versions that were replaced, once their last stream has left."""

    def __init__(self) -> None:
        self._draining: dict[int, str] = {}
        self._drained: set[int] = set()

    def look(self, snapshot: Snapshot) -> None:
        """Takes the pod as it is now, before anything is dropped."""
        for view in snapshot.generations:
            if view.assigned or view.left_seconds is None:
                self._draining.pop(view.number, None)
                self._drained.discard(view.number)
            elif view.number not in self._drained:
                by = "" if snapshot.in_force is None else snapshot.in_force.trace_parent
                by = self._draining.setdefault(view.number, by)
                if not view.streams:
                    del self._draining[view.number]
                    self._drained.add(view.number)
                    seconds = snapshot.now_seconds - view.left_seconds
                    _tell_drained(by, view.pin.version, view.number, seconds)
        known = {view.number for view in snapshot.generations}
        self._drained &= known


def _promotion(snapshot: Snapshot, sequence: int) -> str:
    """Where the trace of a promotion goes on."""
    return next((one.trace_parent for one in snapshot.wanted if one.sequence == sequence), "")


def _tell_drained(promotion: str, version: str, generation: int, seconds: float) -> None:
    DRAINS.add(1, {"version": version})
    _TRACER.start_span(
        "voiceflow.model.drain",
        context_of(promotion, kept=True),
        attributes=_attributes(version, generation),
        start_time=time.time_ns() - round(seconds * 1e9),
    ).end()


def _roles(channel: ChannelName, wanted: Wanted) -> dict[str, str | int | bool]:
    """The versions that a promotion names, since when each has its role, and whose it is."""
    promoted = wanted.promoted
    rollout = wanted.rollout if promoted is None else promoted.rollout
    told: dict[str, str | int | bool] = {
        f"voiceflow.{role}.version": pin.version for role, pin in rollout.pins().items()
    }
    if promoted is None:
        return told
    told["voiceflow.channel"] = str(channel)
    told["voiceflow.promotion.kind"] = promoted.kind.value
    told["voiceflow.promotion.commit_time"] = promoted.commit_time.isoformat()
    for role, since in promoted.since.items():
        told[f"voiceflow.{role}.since.sequence"] = since.sequence
        told[f"voiceflow.{role}.since.kind"] = since.kind.value
        told[f"voiceflow.{role}.since.commit_time"] = since.commit_time.isoformat()
        told[f"voiceflow.{role}.since.or_earlier"] = since.or_earlier
    return told


def _attributes(version: str, generation: int) -> dict[str, str | int]:
    known = {"voiceflow.model.version": version}
    return known | {"voiceflow.generation": generation} if generation else dict(known)


_TRACER: Final = trace.get_tracer("voiceflow")

"""What a rollout tells: what stands, the plan, and how it goes; for people, or as lines of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from rich.table import Table

from voiceflow.cli.models.tables import table
from voiceflow.cli.printing import out, print_json_line, tell
from voiceflow.rollout.awaited import not_serving
from voiceflow.rollout.carrying import Teller
from voiceflow.rollout.state import Colour, Side, Situation
from voiceflow.rollout.steps import Step


class Told(Teller, Protocol):
    """Is told everything."""

    def stands(self, now: Situation) -> None:
        """What stands."""

    def plan(self, steps: Sequence[Step]) -> None:
        """What is to be done."""

    def ended(self, words: str) -> None:
        """It has ended well."""


class ToPeople:
    """Prints it."""

    def stands(self, now: Situation) -> None:
        """As a table."""
        tell(
            f"Service {now.service} in {now.namespace}: new connections go to {now.selection.words}"
        )
        out().print(_table(now))
        for side in (now.blue, now.green):
            for pod in side.pods:
                if pod.silence:
                    tell(f"  {pod.name} does not answer: {pod.silence}")

    def plan(self, steps: Sequence[Step]) -> None:
        """Numbered."""
        if steps:
            tell("Plan:")
        for number, step in enumerate(steps, start=1):
            tell(f"{number:4}. {step}")

    def begins(self, number: int, step: Step) -> None:
        """A line."""
        tell(f"{number:4}. {step} ...")

    def waits(self, reasons: Sequence[str]) -> None:
        """A line each."""
        for reason in reasons:
            tell(f"        {reason}")

    def done(self, number: int, step: Step) -> None:
        """It goes without saying: the next step begins."""

    def ended(self, words: str) -> None:
        """A line."""
        tell(words)


class ToPrograms:
    """Prints a line of JSON for everything."""

    def stands(self, now: Situation) -> None:
        """`state`."""
        print_json_line({"event": "state", **as_data(now)})

    def plan(self, steps: Sequence[Step]) -> None:
        """`plan`."""
        print_json_line({"event": "plan", "steps": [_step(step) for step in steps]})

    def begins(self, number: int, step: Step) -> None:
        """`begins`."""
        print_json_line({"event": "begins", "number": number, **_step(step)})

    def waits(self, reasons: Sequence[str]) -> None:
        """`waits`."""
        print_json_line({"event": "waits", "reasons": list(reasons)})

    def done(self, number: int, step: Step) -> None:
        """`done`."""
        print_json_line({"event": "done", "number": number, **_step(step)})

    def ended(self, words: str) -> None:
        """`ended`."""
        print_json_line({"event": "ended", "message": words})


def as_data(now: Situation) -> dict[str, Any]:
    """What stands, as JSON can hold it."""
    data = dataclasses.asdict(now)
    for colour in Colour:
        for pod in data[colour]["pods"]:
            said = pod["serving"]
            if said is not None and said["started_at"] is not None:
                said["started_at"] = said["started_at"].isoformat()
    return data


def in_short(now: Situation) -> str:
    """What stands, in a line."""
    sides = (
        f"{side.colour} has {side.replicas} pods, {_serving(side)} serving, {side.streams} streams"
        for side in (now.blue, now.green)
    )
    return f"new connections go to {now.selection.words}; {'; '.join(sides)}"


def _step(step: Step) -> dict[str, Any]:
    return {"step": type(step).__name__, **dataclasses.asdict(step), "message": str(step)}


def _table(now: Situation) -> Table:
    made = table(
        "Colour", "Pods>", "Serving>", "Streams>", "Refused>", "Load>", "Versions", "Image",
        "Autoscaler", "",
    )  # fmt: skip
    for side in (now.blue, now.green):
        said = [pod.serving for pod in side.pods if pod.serving is not None]
        scaler = side.autoscaler
        bounds = "" if scaler is None else f"{scaler.minimum} to {scaler.maximum}"
        if scaler is not None and scaler.minimum_before is not None:
            bounds += f" (was {scaler.minimum_before})"
        made.add_row(
            side.colour,
            str(side.replicas),
            str(_serving(side)),
            str(side.streams),
            str(sum(one.refusals for one in said)),
            f"{max((one.real_time_factor for one in said), default=0.0):.2f}",
            " ".join(sorted({version for one in said for version in one.versions})),
            side.image.rpartition("/")[2],
            bounds,
            _remarks(now, side),
        )
    return made


def _serving(side: Side) -> int:
    return sum(
        not not_serving(dataclasses.replace(side, rolled_out=True, pods=(pod,)), 1)
        for pod in side.staying
    )


def _remarks(now: Situation, side: Side) -> str:
    words = [
        *(["still being rolled out"] if not side.rolled_out else []),
        *(["draining"] if side.draining else []),
        *(["left, not seen empty yet"] if now.selection.left is side.colour else []),
    ]
    return ", ".join(words)

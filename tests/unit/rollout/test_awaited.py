"""What keeps a side from serving, or from being empty."""

from __future__ import annotations

import pytest

from voiceflow.rollout.awaited import not_empty, not_serving
from voiceflow.rollout.state import Colour, Pod, Serving, Side

SERVES = Serving(versions=("1.0.0",), desired_sequence=3, serving_sequence=3)


def of(*pods: Pod, rolled_out: bool = True) -> Side:
    """A side of these pods."""
    return Side(Colour.GREEN, "green", len(pods), rolled_out=rolled_out, pods=pods)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (Pod("a", ready=False, remark="ImagePullBackOff"), "a: ImagePullBackOff"),
        (Pod("a", silence="role missing"), "a: role missing"),
        (Pod("a", serving=Serving(versions=("1.0.0",), draining=True)), "a: it drains"),
        (Pod("a", serving=Serving()), "a: it serves no version"),
        (
            Pod("a", serving=Serving(versions=("1.0.0",), desired_sequence=4, serving_sequence=3)),
            "a: it serves 3, its channel wants 4",
        ),
    ],
)
def test_a_pod_that_does_not_serve_what_it_should_is_waited_for(pod: Pod, reason: str) -> None:
    """With the reason, until as many as wanted do."""
    other = Pod("b", serving=SERVES)
    assert not_serving(of(pod, other), 2) == ["1 of 2 pods serve", reason]
    assert not_serving(of(pod, other), 1) == []


def test_a_pod_that_ends_does_not_count() -> None:
    """It will not be there."""
    ending = Pod("a", ending=True, serving=SERVES)
    assert not_serving(of(ending, Pod("b", serving=SERVES)), 2) == ["1 of 2 pods serve"]


def test_a_deployment_that_is_still_rolled_out_is_waited_for() -> None:
    """Its pods may be of the template before."""
    assert not_serving(of(Pod("a", serving=SERVES), rolled_out=False), 1) == [
        "green is still being rolled out"
    ]


@pytest.mark.parametrize(
    ("pod", "empty"),
    [
        (Pod("a", serving=Serving()), True),
        (Pod("a", serving=Serving(streams=1)), False),
        (Pod("a", serving=Serving(files=1)), False),
        (Pod("a", ending=True, serving=Serving(streams=1)), False),
        (Pod("a", silence="away"), False),
        (Pod("a", ready=False, silence="away"), False),
        (Pod("a", ending=True, silence="away"), True),
        (Pod("a", ready=False, started=False), True),
    ],
)
def test_a_side_is_empty_when_every_pod_says_so(pod: Pod, *, empty: bool) -> None:
    """One that does not answer may have callers; one that has not begun, or is gone, has none."""
    assert (not_empty(of(pod)) == []) is empty

"""What of its settings a worker has for itself, and which settings make no group."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.fakes.service import in_process
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers.shares import settings_of, state_dir


def group(**settings: Any) -> Settings:
    """Settings of three workers."""
    return in_process(**{"workers": 3, "pod_name": "blue-0"} | settings)


def test_each_has_its_name_its_ports_and_its_memory() -> None:
    """And all else as the group."""
    whole = group(metrics_port=9464, state_dir=Path("state"), streams=40)
    first, _, last = (settings_of(whole, one, port=5, health_port=6) for one in range(3))
    assert (first.pod_name, last.pod_name) == ("blue-0-w0", "blue-0-w2")
    assert (first.metrics_port, last.metrics_port) == (9464, 9466)
    assert (first.state_dir, last.state_dir) == (Path("state"), Path("state/workers/2"))
    assert (first.port, first.health_port) == (last.port, last.health_port) == (5, 6)
    own = {"pod_name", "metrics_port", "state_dir", "port", "health_port"}
    for one in (first, last):
        assert one.model_dump(exclude=own) == whole.model_dump(exclude=own)


def test_settings_reach_a_worker_as_they_are() -> None:
    """In JSON, whatever its environment says."""
    whole = group(pod_label={"colour": "blue"}, metrics_port=9464, tls_cert=None)
    assert Settings(**json.loads(whole.model_dump_json())) == whole


@pytest.mark.parametrize("port", [0, None])
def test_a_metrics_port_that_is_free_or_none_is_so_for_each(port: int | None) -> None:
    """None is counted up from."""
    assert settings_of(group(metrics_port=port), 2, port=5).metrics_port == port


def test_no_two_remember_in_one_place() -> None:
    """Whatever their number."""
    assert len({state_dir(Path("state"), number) for number in range(20)}) == 20


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, "greater than or equal to 1"),
        ({"metrics_port": 65534}, "--metrics-port: 3 workers .* there are 1"),
        ({"pod_name": "a" * 61}, "--pod-name: .*-w2, is longer than 63"),
    ],
)
def test_what_leaves_no_room_for_workers_is_refused(settings: dict[str, Any], said: str) -> None:
    """It names the setting; one process alone may have it."""
    with pytest.raises(ValidationError, match=said):
        group(**settings)
    assert group(**settings | {"workers": 1}).workers == 1


def test_a_system_that_spreads_no_connections_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere one process would get all connections of a shared port."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValidationError, match=r"--workers: .*Linux"):
        group()
    assert group(workers=1).workers == 1

"""Asks a probe to do what it must not."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from typing import cast

import psutil
import pytest

from voiceflow.validation.sandbox import (
    JsonValue,
    Layer,
    Limits,
    Probe,
    Sandbox,
    SandboxFailure,
)

PATIENCE_SECONDS = 30
LIMITS = Limits(cpu_seconds=5, wall_seconds=60, address_space_bytes=2 * 1024**3)


def act(probe: Probe, action: str, argument: JsonValue = None) -> dict[str, JsonValue]:
    """Has a probe do something; answers what came of it, or which error refused it."""
    return cast("dict[str, JsonValue]", probe.ask([action, argument]))


def fails(
    sandbox: Sandbox, action: str, argument: JsonValue = None, *, limits: Limits = LIMITS
) -> SandboxFailure:
    """Has a process of its own do something that ends it, and says how that came out."""
    with sandbox.open("act", files={}, arguments={}, limits=limits) as probe:
        with pytest.raises(SandboxFailure) as caught:
            act(probe, action, argument)
        return caught.value


def gone(*pids: int) -> bool:
    """Whether processes end, and are no zombies, before patience does."""
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(alive, timeout=PATIENCE_SECONDS)[1]


def need(sandbox: Sandbox, *layers: Layer) -> None:
    """Skips the test on a machine that lacks a layer; what it has, the sandbox must have put on."""
    missing = [layer for layer in layers if not machine_has(layer)]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")
    assert set(layers) <= set(sandbox.layers().active)


def machine_has(layer: Layer) -> bool:
    """Whether a layer could be active here, found out without the sandbox."""
    if sys.platform != "linux":
        return False
    if layer is Layer.LANDLOCK:
        return int(ctypes.CDLL(None).syscall(444, None, 0, 1)) > 0
    return layer is not Layer.SECCOMP or ctypes.util.find_library("seccomp") is not None

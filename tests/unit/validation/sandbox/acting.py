"""Asks a probe to do what it must not."""

from __future__ import annotations

from typing import cast

import pytest

from voiceflow.validation.sandbox import (
    JsonValue,
    Layer,
    Limits,
    Probe,
    Sandbox,
    SandboxFailure,
)

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


def need(sandbox: Sandbox, *layers: Layer) -> None:
    """Skips the test on a machine that lacks a layer."""
    missing = [layer for layer in layers if layer not in sandbox.layers().active]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")

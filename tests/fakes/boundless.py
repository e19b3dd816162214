"""Probes whose import makes the sandbox's resource limits fail: a machine that has none."""

from __future__ import annotations

import resource
from typing import Any

from tests.fakes.hostile import PROBES

__all__ = ["PROBES"]


def _refuse(*_: Any) -> None:
    raise OSError("this machine limits nothing")


resource.setrlimit = _refuse

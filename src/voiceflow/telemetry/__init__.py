"""Traces, metrics and logs: OpenTelemetry's API everywhere, its SDK in `providers` alone.

settings     what is recorded, and where it goes
started      records while a block runs
metrics      every instrument
context      a trace's context over gRPC and through records
logs         what goes to standard error
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voiceflow.errors import NotAllowedNow
from voiceflow.telemetry.settings import OFF, TelemetrySettings

__all__ = ["OFF", "TelemetrySettings", "started"]


@contextmanager
def started(settings: TelemetrySettings, service: str, instance: str = "") -> Iterator[None]:
    """Records what this process does while the block runs; once in the life of a process.

    What is recorded is exported by threads of its own, behind bounded queues: a receiver that is
    slow or away holds up nothing, but the end of the block for a few seconds.

    Args:
        settings: What, and where it goes; if nothing is set, nothing is done.
        service: What this process is: `voiceflow-inference`.
        instance: Which one of them it is.

    Raises:
        NotAllowedNow: TELEMETRY_MISSING, what records is not installed.
        OSError: The metrics port is taken, or the file cannot be written.
    """
    if not (settings.traces or settings.metrics):
        yield
        return
    try:
        from voiceflow.telemetry.providers import recording  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise NotAllowedNow(
            "telemetry is recorded with OpenTelemetry's SDK, which is not installed here;"
            " pip install 'voiceflow[telemetry]'",
            reason="TELEMETRY_MISSING",
        ) from error
    with recording(settings, service, instance):
        yield

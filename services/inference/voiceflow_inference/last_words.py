"""Why a process cannot serve: what it says last."""

from __future__ import annotations

from voiceflow.errors import VoiceFlowError


def last_words(error: VoiceFlowError | OSError) -> str:
    """In one line, for people."""
    if isinstance(error, VoiceFlowError):
        return f"cannot serve: {error.message} ({error.reason})"
    return f"cannot serve: {error}"

"""What the workers of a group remember when they start: what the first of them does.

Each keeps what it trusts in a folder of its own, since two that write one memory would undo what
the other has learnt. A worker that begins without any could be told anything, and one that was not
there for a while could be told what is long over. So all begin with the memory of the first, which
is also that of a process without workers.
"""

from __future__ import annotations

import shutil

from voiceflow.errors import VoiceFlowError
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers.shares import state_dir


def hand_on(settings: Settings) -> None:
    """Copies it, before any worker runs.

    Args:
        settings: Of the group.

    Raises:
        VoiceFlowError: STATE_NOT_WRITABLE.
    """
    for remembered in (settings.state_dir / settings.model).glob("*.json"):
        for number in range(1, settings.workers):
            copy = state_dir(settings.state_dir, number) / settings.model / remembered.name
            partial = copy.with_suffix(".partial")
            try:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(remembered, partial)
                partial.replace(copy)
            except OSError as error:
                raise VoiceFlowError(
                    f"{copy}: what this worker is to trust cannot be kept there: {error.strerror}",
                    reason="STATE_NOT_WRITABLE",
                    field="state_dir",
                ) from error

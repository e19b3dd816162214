"""What was replaced is told as that, not as a second primary that drains for ever."""

from __future__ import annotations

import pytest

from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import GenerationState
from voiceflow.cli.models.tables import standing


@pytest.mark.parametrize(
    ("state", "streams", "told"),
    [
        (GenerationState.ACTIVE, 0, ("primary", "active")),
        (GenerationState.DRAINING, 3, ("was primary", "draining")),
        (GenerationState.DRAINING, 0, ("was primary", "kept")),
        (GenerationState.WARMING, 0, ("primary", "warming")),
    ],
)
def test_a_version_that_was_replaced_drains_while_it_has_streams(
    state: GenerationState, streams: int, told: tuple[str, str]
) -> None:
    """Then it is kept; what comes, or serves, is what it is to the channel."""
    assert standing(Role.PRIMARY, state, streams) == told

"""What is shown of a conversation: names are text, whatever stands in them."""

from __future__ import annotations

import io

from rich.console import Console

from voiceflow.cli.views import talk_table
from voiceflow.client import Region, Timeline, Turn, Update


def test_a_name_is_no_markup() -> None:
    """People choose names; brackets in them are brackets."""
    name = "[bold]Ann[/bold] [x]"
    timeline = Timeline()
    turn = Turn(name, 0, 16_000, 0.9, final=True)
    timeline.add(Update((Region(0, 16_000, (name,)),), (turn,), 16_000, 16_000))
    out = io.StringIO()
    Console(file=out, width=100).print(talk_table(timeline))
    assert name in out.getvalue()

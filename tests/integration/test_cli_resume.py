"""`voiceflow diarize` when its server goes, or moves the stream."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.simulated_streams import FRAME, FRAME_BYTES, Call, simulated, spoken
from voiceflow.cli.views import LineView, LiveView
from voiceflow.client import Begin, Moved, Resumed, StreamLimits, Timeline

COMMAND = (sys.executable, "-c", "from voiceflow.cli import main; main()")
AUDIO = spoken((1, 90), (2, 120), (1, 100))
RAW = ("--encoding", "pcm16", "--rate", "16000")
BEGIN = Begin("s", "models/m/versions/1.0.0", 1, 0, 0, 0, FRAME, StreamLimits(0, 0, 0, 0, 0))
MOVED = Moved(32_000, 2, "models/m/versions/1.1.0", "replayed", 16_000)


async def diarize(address: str, *options: str | Path) -> tuple[int, str, str]:
    """The command, with the audio on its standard input."""
    pipe = asyncio.subprocess.PIPE
    arguments = ("diarize", "-", "--server", address, *RAW, *map(str, options))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate(AUDIO)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_stream_that_is_cut_goes_on_and_says_so(tmp_path: Path) -> None:
    """Standard output has every turn once; standard error says where it went on."""
    result = tmp_path / "out.json"
    async with simulated(Call(cut_at=200), Call()) as (_, address):
        code, out, err = await diarize(address, "--json", result)
    assert code == 0, err
    turns = [line.split("\t")[:3] for line in out.splitlines()]
    assert turns == [["0.000", "0.900", "S1"], ["0.900", "2.100", "S2"], ["2.100", "3.100", "S1"]]
    # Where depends on how much of what the server said last was lost with the stream.
    resumed = re.compile(r"(\d\.\d{3}) s: resumed with models/simulated/versions/1\.0\.0")
    (place,) = [found for line in err.splitlines() if (found := resumed.fullmatch(line))]
    assert 0.0 < float(place[1]) <= 1.75
    told = json.loads(await asyncio.to_thread(result.read_text))
    assert told["complete"]
    assert told["duration_seconds"] == len(AUDIO) / FRAME_BYTES / 100


async def test_without_resuming_what_was_final_is_kept() -> None:
    """The exit code says that it failed, the page and the rest say that it is not complete."""
    async with simulated(Call(cut_at=200), Call()) as (server, address):
        code, out, err = await diarize(address, "--no-resume")
    assert code == 4, err
    assert [line.split("\t")[2] for line in out.splitlines()] == ["S1"]
    assert len(server.calls) == 1


def test_a_move_is_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Where, how, and to which version."""
    LineView(to_stderr=False).event(MOVED, Timeline())
    assert capsys.readouterr() == ("", "2.000 s: replayed to models/m/versions/1.1.0\n")


def test_the_picture_has_the_version_that_serves_now() -> None:
    """And how often the stream has moved and was resumed, if it was."""
    console = Console(width=140, force_terminal=False, record=True)
    view = LiveView(console, "call", None)

    def picture() -> str:
        with console.capture() as shown:
            console.print(view)
        return shown.get()

    view.event(BEGIN, Timeline())
    assert "m 1.0.0" in picture()
    assert "moved" not in picture()
    view.event(MOVED, Timeline())
    assert "m 1.1.0" in picture()
    assert "moved 1x" in picture()
    for _ in range(2):
        view.event(Resumed(BEGIN, 48_000), Timeline())
    assert "m 1.0.0" in picture()
    assert "resumed 2x" in picture()

"""The command line against the real service, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.scripted import scripted
from tests.fakes.service import pcm16, running
from tests.integration.commands import done
from voiceflow.cli.run import Views, run_file
from voiceflow.client import DiarizationClient, StreamConfig
from voiceflow.client.audio import open_recording
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import Unavailable
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.report import AudioKeeper
from voiceflow.rpc.status import abort_arguments

SAMPLES = tones(Spoken((2,), 1.6), Spoken((), 0.6), Spoken((8,), 1.6))
COMMAND = (sys.executable, "-c", "from voiceflow.cli import main; main()")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that hears tones."""
    return write_stream_package(tmp_path_factory.mktemp("models") / "1.0.0")


@pytest.fixture
async def server(package: Path) -> AsyncIterator[str]:
    """Address of the real service."""
    async with running(bind(load_package(package))) as (_, address):
        yield address


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A conversation of two tones; the name has a space."""
    path = tmp_path / "two tones.wav"
    soundfile.write(path, SAMPLES, 16_000)
    return path


async def start(
    *arguments: str | Path, stderr: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    """A running command."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, arguments), stdin=pipe, stdout=pipe, stderr=stderr
    )


async def finish(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """A command to its end: exit code, standard output and error."""
    process = await start(*arguments)
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_file_gives_lines_and_every_result(
    server: str, recording: Path, tmp_path: Path
) -> None:
    """RTTM, JSON and the page say the same as the lines on standard output."""
    results = {kind: tmp_path / f"out.{kind}" for kind in ("rttm", "json", "html")}
    options = [part for kind, path in results.items() for part in (f"--{kind}", path)]
    code, out, err = await finish("diarize", recording, "--server", server, *options)
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[2] for line in lines] == ["S1", "S2"]
    told = json.loads(results["json"].read_text())
    assert told["audio"] == "two tones.wav"
    assert told["complete"]
    assert [f"{turn['start_seconds']:.3f}" for turn in told["turns"]] == [line[0] for line in lines]
    rttm = [line.split() for line in results["rttm"].read_text().splitlines()]
    assert [(fields[1], fields[3], fields[7]) for fields in rttm] == [
        ("two_tones", line[0], line[2]) for line in lines
    ]
    assert "two tones.wav" in results["html"].read_text()
    assert [line.removeprefix("wrote ") for line in err.splitlines()] == [
        str(path) for path in results.values()
    ]


async def test_real_time_gives_the_turns_of_the_file(server: str, recording: Path) -> None:
    """In both latency modes lines come without a terminal."""
    _, whole, _ = await finish("diarize", recording, "--server", server)
    for mode in ("density", "agent"):
        code, out, err = await finish(
            "diarize", recording, "--server", server, "--realtime", "--mode", mode
        )
        assert code == 0, err
        assert [line.split("\t")[2] for line in out.splitlines()] == ["S1", "S2"]
    assert len(whole.splitlines()) == 2


async def test_a_wav_and_raw_samples_on_a_pipe_are_heard(server: str, recording: Path) -> None:
    """The result on standard output is alone there."""
    content = await asyncio.to_thread(recording.read_bytes)
    code, out, err = await finish("diarize", "-", "--server", server, "--json", "-", stdin=content)
    assert code == 0, err
    wav = json.loads(out)
    raw_options = ("--encoding", "pcm16", "--rate", "16000")
    code, out, err = await finish(
        *("diarize", "-", "--server", server, "--json", "-", *raw_options), stdin=pcm16(SAMPLES)
    )
    assert code == 0, err
    raw = json.loads(out)
    assert [turn["speaker"] for turn in raw["turns"]] == ["S1", "S2"]
    assert raw["turns"] == wav["turns"]


async def test_an_interrupt_finishes_the_stream_and_writes_the_results(
    server: str, tmp_path: Path
) -> None:
    """The pipe stays open: only Ctrl-C ends the audio."""
    target = tmp_path / "out.json"
    process = await start(
        *("diarize", "-", "--server", server, "--encoding", "pcm16", "--rate", "16000"),
        *("--json", target),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    loud, quiet = tones(Spoken((2,), 2.0)), tones(Spoken((), 4.0))
    process.stdin.write(pcm16(loud) + pcm16(quiet))
    await process.stdin.drain()
    assert (await process.stdout.readline()).decode().split("\t")[2] == "S1"
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    told = json.loads(target.read_text())
    assert told["complete"]
    assert [turn["speaker"] for turn in told["turns"]] == ["S1"]


async def test_the_report_of_a_file_that_was_sent_twice_has_its_audio_once(
    recording: Path,
) -> None:
    """The first try broke off half way."""

    async def cut(requests: AsyncIterator[pb.DiarizeFileRequest], context: Any) -> None:
        stream = aiter(requests)
        for _ in range(2):
            await anext(stream)
        await context.abort(*abort_arguments(Unavailable("restarting", reason="DRAINING")))

    async def serve(
        requests: AsyncIterator[pb.DiarizeFileRequest], _: Any
    ) -> pb.DiarizeFileResponse:
        async for _request in requests:
            pass
        return pb.DiarizeFileResponse(summary=pb.Summary(complete=True))

    source = open_recording(recording)
    async with scripted(cut, serve) as (script, address), DiarizationClient(address) as client:
        with AudioKeeper(source.audio_format) as keeper:
            config = StreamConfig(source.audio_format)
            await run_file(client, source, config, Views([]), stop=asyncio.Event(), keeper=keeper)
            assert keeper.finish().duration_seconds == source.duration_seconds
    assert script.calls == 2


async def test_a_stream_that_is_cut_leaves_what_was_final(package: Path, tmp_path: Path) -> None:
    """The results are written and not complete, and the exit code tells of the error."""
    target = tmp_path / "out.json"
    async with running(bind(load_package(package)), idle_seconds=0.5) as (_, server):
        process = await start(
            *("diarize", "-", "--server", server, "--encoding", "pcm16", "--rate", "16000"),
            *("--json", target),
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(pcm16(tones(Spoken((2,), 2.0), Spoken((), 4.0))))
        async with asyncio.timeout(30):
            err = (await process.stderr.read()).decode()
            assert await process.wait() == 1, err
    assert "STREAM_IDLE" in err
    told = json.loads(target.read_text())
    assert not told["complete"]
    assert [turn["speaker"] for turn in told["turns"]] == ["S1"]


async def test_a_terminal_shows_who_speaks(server: str, recording: Path) -> None:
    """Lanes of both speakers, the audio's clock, and what the colours mean."""
    terminal, side = pty.openpty()
    os.set_blocking(terminal, False)
    process = await start("diarize", recording, "--server", server, "--realtime", stderr=side)
    os.close(side)
    shown = bytearray()
    ended = asyncio.get_running_loop().create_future()

    def read() -> None:
        try:
            shown.extend(os.read(terminal, 65_536))
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(terminal)
            ended.set_result(None)

    asyncio.get_running_loop().add_reader(terminal, read)
    out, _ = await process.communicate(b"")
    async with asyncio.timeout(30):
        await ended
    os.close(terminal)
    text = shown.decode()
    assert process.returncode == 0, text
    for part in ("S1", "S2", "two tones.wav", "may still change", "lag", "tones 1.0.0", "█", "░"):
        assert part in text, part
    assert len(out.decode().splitlines()) == 2, "lines still go to a pipe on standard output"


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [(None, 3, "FILE_MISSING"), (b"no audio", 3, "AUDIO_UNREADABLE")],
)
async def test_an_unusable_file_is_one_line_and_exit_code_3(
    tmp_path: Path, content: bytes | None, code: int, reason: str
) -> None:
    """No traceback."""
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    seen, out, err = await finish("diarize", path, "--server", "127.0.0.1:1")
    assert (seen, out) == (code, "")
    assert len(err.splitlines()) == 1
    assert reason in err


async def test_a_missing_server_is_exit_code_4() -> None:
    """Told at once by the command that asks for nothing else."""
    code, _, err = await done("serving-state", "--server", "127.0.0.1:1")
    assert code == 4
    assert err.startswith("voiceflow: ")


async def test_the_serving_state_is_a_table_or_json(server: str) -> None:
    """Both name the model."""
    code, out, _ = await done("serving-state", "--server", server, "--json")
    assert code == 0
    assert json.loads(out)["generations"][0]["model_version"] == "models/tones/versions/1.0.0"
    code, out, _ = await done("serving-state", "--server", server)
    assert code == 0
    assert "tones" in out


async def test_the_demo_promotes_a_model_serves_it_and_leaves_a_report(
    package: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal too; both services have stopped when the command ends.

    What the environment says of other services is not for these two.
    """
    for name in ("CA", "TLS_CERT", "CLIENT_CA", "REGISTRY_CA", "MODEL_DIR"):
        monkeypatch.setenv(f"VOICEFLOW_{name}", str(tmp_path / "elsewhere"))
    output = tmp_path / "demo"
    code, out, err = await finish(
        "demo", "--audio", recording, "--model-dir", package, "--output", output
    )
    assert code == 0, err
    assert [line.split("\t")[2] for line in out.splitlines()] == ["S1", "S2"]
    files = {path.suffix for path in output.iterdir() if path.is_file()}
    assert files == {".rttm", ".json", ".html", ".log"}
    assert "models/tones/channels/stable serves 1.0.0 since promotion 1" in err
    assert "tones 1.0.0, primary since promotion 1" in err
    assert "Most of the time goes to " in err
    for service in ("registry", "service"):
        assert "stopped" in (output / f"{service}.log").read_text()


async def test_a_demo_without_a_model_says_which_file_is_missing(
    recording: Path, tmp_path: Path
) -> None:
    """Before anything is started."""
    empty = tmp_path / "empty"
    empty.mkdir()
    output = tmp_path / "demo"
    code, _, err = await finish(
        "demo", "--audio", recording, "--model-dir", empty, "--output", output
    )
    assert code == 3
    assert "manifest.json" in err
    assert not (output / "registry.log").exists()

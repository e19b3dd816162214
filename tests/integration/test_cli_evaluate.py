"""`voiceflow evaluate` against the real service, with a model that hears tones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from tests.fakes.models import Spoken as Sounding
from tests.fakes.models import tones, write_stream_package
from tests.fakes.service import running
from tests.integration.commands import done
from voiceflow.artifact import LatencyMode
from voiceflow.cli.evaluate.hearing import hear
from voiceflow.cli.evaluate.hypotheses import read_ends
from voiceflow.cli.evaluate.speech import read_speech
from voiceflow.client import DiarizationClient
from voiceflow.evaluation import EvaluationSet, final_regions, spoken_in, write_rttm
from voiceflow.evaluation.telling import final, read_tellings
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow.pipeline.offline import diarize

CONVERSATIONS = {
    "one": (Sounding((2,), 2.0), Sounding((), 0.6), Sounding((8,), 2.0), Sounding((2,), 1.5)),
    "two": (Sounding((5,), 1.5), Sounding((), 1.2), Sounding((5, 11), 1.0), Sounding((11,), 1.5)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """Hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("m") / "1.0.0")))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two conversations of tones, one at 8 kHz, and what sounds in them."""
    folder = tmp_path_factory.mktemp("tones")
    for name, conversation in CONVERSATIONS.items():
        audio = tones(*conversation)
        if name == "two":
            soundfile.write(folder / f"{name}.wav", audio[::2], 8_000)
        else:
            soundfile.write(folder / f"{name}.wav", audio, 16_000)
        lines, at = [], 0.0
        for part in conversation:
            lines += [
                f"SPEAKER {name} 1 {at:.3f} {part.seconds:.3f} <NA> <NA> band{band} <NA> <NA>"
                for band in part.bands
            ]
            at += part.seconds
        (folder / f"{name}.rttm").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
async def server(model: BoundModel) -> AsyncIterator[str]:
    """Address of the real service."""
    async with running(model) as (_, address):
        yield address


async def evaluate(*arguments: str | Path) -> tuple[int, str, str]:
    """The command to its end: exit code, standard output and error."""
    return await done("evaluate", *arguments)


@pytest.mark.parametrize("mode", list(LatencyMode))
async def test_what_is_heard_through_the_service_is_what_the_pipeline_says(
    server: str, model: BoundModel, data: Path, mode: LatencyMode
) -> None:
    """Final turns are the pipeline's own; tellings end in them; each frame is told once."""
    recording = EvaluationSet.open(data).recordings[0]
    async with DiarizationClient(server) as client:
        heard = await hear(client, recording, mode)
    audio = recording.samples()
    assert list(heard.final) == spoken_in(final_regions(diarize(model, audio, mode=mode)))
    assert {one.speaker for one in heard.final} == {"S1", "S2"}
    assert final(heard.tellings) == list(heard.final)
    assert heard.model_version == model.manifest.resource_name
    hop_seconds = model.manifest.hop_samples[mode] / 16_000
    covered = [telling.covered_seconds for telling in heard.tellings]
    assert covered[0] == hop_seconds
    longest = max(after - before for before, after in pairwise(covered))
    assert longest == pytest.approx(hop_seconds)
    assert any(
        turn.end_seconds > later.from_seconds
        for telling, later in pairwise(heard.tellings)
        for turn in telling.turns
    ), "nothing provisional was told"
    ends = [one.start_seconds + len(one.speech) * one.frame_seconds for one in heard.speech]
    assert [one.start_seconds for one in heard.speech] == pytest.approx([0.0, *ends[:-1]])
    assert ends[-1] == pytest.approx(len(audio) / 16_000, abs=heard.speech[0].frame_seconds)
    assert all(
        one.covered_seconds <= end + 1e-9 for one, end in zip(heard.speech, ends, strict=True)
    )


async def test_the_tables_are_printed_and_every_file_is_kept(
    server: str, data: Path, tmp_path: Path
) -> None:
    """RTTM, tellings and speech of each recording; JSON says what the tables say."""
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    code, printed, errors = await evaluate(
        *("--data", data, "--server", server, "--mode", "agent", "--out", out, "--json", figures)
    )
    assert code == 0, errors
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == sorted(
        name
        for one in CONVERSATIONS
        for name in (
            f"{one}.rttm",
            f"aliases/{one}.rttm",
            f"{one}.tellings.jsonl",
            f"{one}.speech.jsonl",
            f"{one}.ends.json",
        )
    )
    for one in CONVERSATIONS:
        written = (out / f"{one}.rttm").read_text()
        assert write_rttm(one, final(read_tellings(out / f"{one}.tellings.jsonl"))) == written
        assert read_speech(out / f"{one}.speech.jsonl")
        assert read_ends(out, one)
    told = json.loads(figures.read_text())
    assert told["mode"] == "agent"
    assert [rates["collar_total_seconds"] for rates in told["rates"]] == [0.0, 0.5]
    assert [one["name"] for one in told["rates"][0]["recordings"]] == ["one", "two"]
    pooled = told["rates"][0]["pooled"]
    assert pooled["der_percent"] < 40.0
    assert f"{pooled['der_percent']:.2f}" in printed
    delays = [one["delay_seconds"] for one in told["streaming"]["by_delay"]]
    assert delays == [0.5, 1.0, 2.0, 5.0, "final"]
    assert told["end_of_speech"]["curve"]
    assert told["end_of_speech"]["as_sent"]["ends"] == 2
    assert [line.split(":")[0] for line in errors.splitlines()] == ["one", "two"]


async def test_json_on_standard_output_is_alone_there(server: str, data: Path) -> None:
    """The tables go to standard error."""
    code, printed, errors = await evaluate("--data", data, "--server", server, "--json", "-")
    assert code == 0, errors
    assert json.loads(printed)["set"] == data.name
    assert "DER %" in errors


async def test_without_a_server_that_is_said(data: Path) -> None:
    """With the address that was dialled, and exit code 4."""
    code, _, errors = await evaluate("--data", data, "--server", "127.0.0.1:1")
    assert code == 4
    assert "127.0.0.1:1" in errors


async def test_another_machine_is_not_dialled_in_plain_text(data: Path) -> None:
    """Unless that is asked for, as with every command."""
    code, _, errors = await evaluate("--data", data, "--server", "192.0.2.1:50051")
    assert code == 3
    assert "INSECURE_ADDRESS" in errors

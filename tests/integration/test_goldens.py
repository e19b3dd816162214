"""What benchmarks of reload compare streams with is what the pipeline says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.artefacts import Artefact, make
from benchmarks.goldens import GoneOn, Step, expected_regions, joined
from voiceflow.artifact import LatencyMode
from voiceflow.client.events import Moved
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow.pipeline.offline import Switch, SwitchKind, diarize, diarize_switching
from voiceflow.pipeline.replay import replay_start_samples
from voiceflow.pipeline.turns import Region
from voiceflow.sample import conversation

MODE = LatencyMode.DENSITY
HOP = 7_680
SECONDS = 28


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BoundModel]:
    """By name of the version."""
    where = tmp_path_factory.mktemp("goldens")
    made = {}
    for number, artefact in enumerate(Artefact, start=1):
        model = bind(load_package(make(artefact, f"1.0.{number}", where / artefact)))
        made[model.manifest.resource_name] = model
    return made


@pytest.fixture(scope="module")
def audio() -> bytes:
    """Synthetic voices."""
    samples = conversation()[: SECONDS * 16_000]
    return (samples * 32_767).astype("<i2").tobytes()


def name(number: int) -> str:
    """Of a version."""
    return f"models/diarizer/versions/1.0.{number}"


def by_the_pipeline(
    audio: bytes, models: dict[str, BoundModel], switches: list[Switch]
) -> list[Region]:
    """All that was said, in order; where a resumed stream goes back, nothing was told twice."""
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32_768)
    results = diarize_switching(samples, models[name(1)], switches, MODE)
    return [region for result in results for region in result.final_regions]


def test_moves_between_hops_are_as_the_pipeline_has_them(
    audio: bytes, models: dict[str, BoundModel]
) -> None:
    """Carried, then replayed."""
    carried, replayed = 4 * HOP, 8 * HOP
    start = replay_start_samples(replayed, models[name(3)].manifest, MODE)
    way: list[Step] = [
        Moved(carried, 2, name(2), "carried", carried),
        Moved(replayed, 3, name(3), "replayed", start),
    ]
    switches = [
        Switch(carried, models[name(2)], SwitchKind.CARRIED),
        Switch(replayed, models[name(3)], SwitchKind.REPLAYED, start),
    ]
    found = expected_regions(audio, name(1), way, models, MODE)
    assert found == joined(by_the_pipeline(audio, models, switches))
    assert found != expected_regions(audio, name(1), [], models, MODE)


@pytest.mark.parametrize("version", [3, 4])
def test_a_stream_that_goes_on_is_as_the_pipeline_has_it(
    audio: bytes, models: dict[str, BoundModel], version: int
) -> None:
    """With voices that mean the same, and others; what the old stream still told, it told."""
    at = 30 * HOP
    switches = [Switch(at, models[name(version)], SwitchKind.RESUMED)]
    said = by_the_pipeline(audio, models, switches)
    uncut = joined(by_the_pipeline(audio, models, []))
    resumed = _final_after(30, audio, models[name(1)])
    for later in (0, HOP, 4 * HOP):
        way: list[Step] = [GoneOn(name(version), resumed, resumed + later, at)]
        found = expected_regions(audio, name(1), way, models, MODE)
        assert found[-1].end_samples == SECONDS * 16_000
        told = resumed + later
        assert _until(found, told) == _until(uncut, told)
        if not later:
            assert found == joined(said)


def test_a_stream_that_was_ended_has_made_final_all_that_it_had_heard(
    audio: bytes, models: dict[str, BoundModel]
) -> None:
    """Where the client found no other one in time, the server ends the old one before."""
    at = 30 * HOP
    resumed = _final_after(30, audio, models[name(1)])
    told = at + 3 * HOP + 1280
    way: list[Step] = [GoneOn(name(3), resumed, told, at, ended=True)]
    found = expected_regions(audio, name(1), way, models, MODE)
    ended = joined(by_the_pipeline(audio[: 2 * told], models, []))
    assert _until(found, told) == _until(ended, told)
    assert ended[-1].end_samples == told
    assert found[-1].end_samples == SECONDS * 16_000


def test_labels_given_out_before_anything_was_final_are_not_given_again(
    audio: bytes, models: dict[str, BoundModel]
) -> None:
    """A stream that is told to go in its first seconds has named somebody, who is named anew."""
    at = 4 * HOP
    switches = [Switch(at, models[name(4)], SwitchKind.RESUMED)]
    way: list[Step] = [GoneOn(name(4), 0, 0, at)]
    found = expected_regions(audio, name(1), way, models, MODE)
    assert found == joined(by_the_pipeline(audio, models, switches))


def test_a_way_that_no_stream_can_have_gone_is_refused(
    audio: bytes, models: dict[str, BoundModel]
) -> None:
    """A token lies where final regions end; nothing happens after the end."""
    with pytest.raises(ValueError, match="no final region ends"):
        expected_regions(audio, name(1), [GoneOn(name(2), HOP + 1, 4 * HOP, 8 * HOP)], models, MODE)
    late = Moved(100 * HOP, 2, name(2), "carried", 100 * HOP)
    with pytest.raises(ValueError, match="before the way does"):
        expected_regions(audio, name(1), [late], models, MODE)


def _final_after(hops: int, audio: bytes, model: BoundModel) -> int:
    """How far regions are final then."""
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32_768)
    final = [region for result in diarize(model, samples)[:hops] for region in result.final_regions]
    return final[-1].end_samples


def _until(regions: tuple[Region, ...], end: int) -> list[Region]:
    return [
        Region(one.start_samples, min(one.end_samples, end), one.speakers)
        for one in regions
        if one.start_samples < end
    ]

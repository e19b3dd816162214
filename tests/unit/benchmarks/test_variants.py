"""The report on a model's variants: what is measured, what is said of it, what is made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import variants
from benchmarks.variants_measured import (
    Distance,
    Measured,
    call_seconds,
    distance,
    half_operators,
    moves,
)
from benchmarks.variants_report import page, worse
from tests.fakes.models import Spoken, tones
from tests.fakes.networks import network_graph, write_network_package
from training.variants import Claim, Told, Variant, make
from training.variants.half import to_half
from voiceflow.evaluation import EvaluationSet, Score
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.serving.placing import How

TALK = tones(*(Spoken((band,), 1.0) for band in range(13)))


def measured(variant: str | None, der_percent: float) -> Measured:
    """Of a model with this error rate on one set."""
    score = Score("pooled", 100.0, der_percent, der_percent, 0.0, 0.0, 50.0, "")
    name = f"models/m{f'-{variant}' if variant else ''}/versions/1.0.0"
    times = {"1": 2.0, "16": 0.5}
    original = Measured(name, variant, 1000, times, {"1": 1.0, "16": 1.0}, {"real": score})
    return (
        original
        if variant is None
        else replace(original, model_bytes=340, moves=(How.CARRIED, How.CARRIED))
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's package."""
    return write_network_package(tmp_path_factory.mktemp("base") / "tones")


@pytest.fixture(scope="module")
def original(base: Path) -> BoundModel:
    """Loaded."""
    return bind(load_package(base))


def variant_of(base: Path, graph: onnx.ModelProto, folder: Path) -> BoundModel:
    """A package that claims all of its original's spaces, loaded."""
    return bind(load_package(make(Variant.FP16, base, graph, folder, Told(Claim.STATE))))


@pytest.fixture(scope="module")
def half(base: Path, tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The same weights, rounded."""
    rounded = to_half(onnx.load_from_string(network_graph()))
    return variant_of(base, rounded, tmp_path_factory.mktemp("half") / "half")


@pytest.fixture(scope="module")
def other(base: Path, tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """Other weights."""
    graph = onnx.load_from_string(network_graph(seed=2))
    return variant_of(base, graph, tmp_path_factory.mktemp("other") / "other")


@pytest.mark.parametrize(("points", "said"), [(1.0, {}), (-3.0, {}), (1.01, {"real": 1.01})])
def test_a_variant_that_is_more_than_a_point_worse_is_said_so(
    points: float, said: dict[str, float]
) -> None:
    """In the figures, and in bold on the page."""
    one, other = measured(None, 40.0), measured("int8", 40.0 + points)
    assert worse(one, other) == said
    assert ("**Its DER is more than 1 point worse" in page([one, other], [])) is bool(said)


def test_the_page_says_what_was_seen_of_each_variant() -> None:
    """Bytes, time, what the runtime computes in half, moves, and rules that are broken."""
    far = Distance(300.0, 0.01, 0.001, 0.99, 0.999)
    one = measured(None, 40.0)
    half = replace(measured("fp16", 40.0), distance=far, half=(160, 0))
    bits = replace(
        measured("int8", 40.0),
        moves=(How.CARRIED, How.TOLD),
        half=(0, 0),
        broken_rules=("behaviour.golden",),
        of_original={"1": 0.8, "16": 0.7},
    )
    text = page([one, half, bits], ["from here"])
    for words in (
        "# Variants of m 1.0.0",
        "from here",
        "34 % of the original's bytes",
        "80 % with one stream and 70 % with 16 streams at once",
        "0 of its 160 operations in half precision",
        "only bytes on disk",
        "with their memory to it, and back not at all",
        "refused, `behaviour.golden`",
    ):
        assert words in text
    assert text.count("in half precision on this processor") == 1


def test_models_are_timed_by_turns(original: BoundModel) -> None:
    """Each has as many calls as were asked for, with as many streams."""
    taken = call_seconds([original, original, original], TALK, rows=4, calls=6)
    assert [len(seconds) for seconds in taken] == [6, 6, 6]
    assert min(map(min, taken)) >= 0


def test_a_rounded_network_is_near_and_another_one_is_far(
    original: BoundModel, half: BoundModel, other: BoundModel
) -> None:
    """Distances are nothing to itself, little to its half, much to other weights."""
    heard = [TALK[:64_000]]
    same = distance(original, original, heard)
    assert (same.seconds, same.probability_greatest, same.probability_mean) == (4.0, 0.0, 0.0)
    assert same.cosine_least == pytest.approx(1.0)
    near, far = distance(original, half, heard), distance(original, other, heard)
    assert 0.0 < near.probability_mean <= near.probability_greatest < 0.005
    assert far.probability_greatest > 0.1
    assert near.cosine_least is not None
    assert far.cosine_mean is not None
    assert near.cosine_least > 0.999
    assert far.cosine_mean < 0.9


def test_vectors_are_compared_where_somebody_is_heard(
    original: BoundModel, base: Path, tmp_path: Path
) -> None:
    """Beside a model that hears nobody nothing is compared, and no cosine is made up."""
    deaf = onnx.load_from_string(network_graph(bias=-30.0))
    apart = distance(original, variant_of(base, deaf, tmp_path / "deaf"), [TALK[:64_000]])
    assert (apart.cosine_least, apart.cosine_mean) == (None, None)
    unheard = replace(measured("int8", 40.0), distance=apart)
    assert "cosine of vectors, mean" in page([measured(None, 40.0), unheard], [])


def test_what_servers_see_decides_whether_streams_move(
    original: BoundModel, half: BoundModel, other: BoundModel
) -> None:
    """Rounded weights go on with a memory; other weights do not, whatever they claim."""
    talk = [TALK[:192_000]]
    assert moves(original, half, talk) == (How.CARRIED, How.CARRIED)
    assert moves(original, other, talk) == (How.TOLD, How.TOLD)


@pytest.mark.parametrize(
    ("ways", "claim"),
    [
        ((How.CARRIED, How.CARRIED), Claim.STATE),
        ((How.CARRIED, How.REPLAYED), Claim.VECTORS),
        ((How.TOLD, How.CARRIED), Claim.NOTHING),
    ],
)
def test_a_claim_is_the_least_of_what_was_seen(ways: tuple[How, How], claim: Claim) -> None:
    """There and back, in every conversation: what one of them denies is not claimed."""
    assert variants.claim_of(ways) is claim


def test_operators_in_half_precision_are_counted() -> None:
    """Those that compute, in the file and as it is run; none in a file of float32."""
    model = onnx.load_from_string(network_graph())
    stated, here = half_operators(to_half(model).SerializeToString())
    assert stated == 18  # products and sums of dense layers; scale, tap, norm, ReLUs, trunk
    assert 0 <= here <= stated
    assert half_operators(model.SerializeToString()) == (0, 0)


def test_conversations_that_are_scored_scale_nothing(
    monkeypatch: pytest.MonkeyPatch, labelled: EvaluationSet, tmp_path: Path
) -> None:
    """Nor does a folder without any: both end the command before anything is made."""
    scored = labelled.recordings[0].audio.parent
    for folder in (scored, tmp_path / "nothing"):
        given = ("--calibration", str(folder), "--data", str(scored))
        places = ("--out", str(tmp_path / "o"), "--json", str(tmp_path / "o" / "figures.json"))
        monkeypatch.setattr(sys, "argv", ["variants", *given, *places])
        with pytest.raises(SystemExit) as caught:
            variants.main()
        assert caught.value.code == 2
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_one_run_makes_packages_that_say_what_the_report_says(
    monkeypatch: pytest.MonkeyPatch, base: Path, labelled: EvaluationSet, tmp_path: Path
) -> None:
    """Both variants, complete, their error rates in manifest, card, page and figures."""
    scored = labelled.recordings[0].audio.parent
    heard = tmp_path / "heard"
    heard.mkdir()
    for path in scored.iterdir():
        (heard / path.name).write_bytes(path.read_bytes())
    results, out = tmp_path / "results.json", tmp_path / "out"
    folders = ("--calibration", str(heard), "--data", str(scored), "--out", str(out))
    given = ("--model", str(base), "--json", str(results), *folders)
    monkeypatch.setattr(sys, "argv", ["variants", *given])
    variants.main()
    figures = json.loads(results.read_text())
    json.dumps(figures, allow_nan=False)
    assert figures["calibration"]["digest"] == labelled.digest  # the same files elsewhere
    assert [one["variant"] for one in figures["models"]] == [None, "fp16", "int8"]
    for one in figures["models"][1:]:
        package = load_package(out / f"tones-{one['variant']}" / "1.0.0")
        (rates,) = package.manifest.measured
        assert one["model"] == package.manifest.resource_name
        assert one["sets"]["simulated"]["der_percent"] == rates.der_percent
        assert one["model_bytes"] == len(package.model_bytes)
        assert np.isfinite(one["of_original"]["16"])
        assert f"{rates.der_percent:.2f}" in (package.files["README.md"]).decode()
        assert f"`tones-{one['variant']} 1.0.0`" in results.with_suffix(".md").read_text()

"""The default model and the pipeline together, on labelled conversations of unseen speakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.der import evaluate, shuffled
from benchmarks.paths import DEFAULT_MODEL, SPEECH
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel

OTHER_MACHINE_PERCENT = 1.0
"""By how much the error may differ where sums are rounded differently."""
MINIMUM_WORTH_OF_IDENTITY_PERCENT = 15.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SPEECH.exists(), reason="needs the conversations of ../shared/speech, absent here"
    ),
]


@pytest.fixture(scope="module")
def model() -> BoundModel:
    """The committed model."""
    return bind(load_package(DEFAULT_MODEL))


@pytest.fixture(scope="module")
def simulated_der_percent(model: BoundModel) -> float:
    """Pooled over all simulated conversations."""
    return evaluate(model, SPEECH / "simulated")[-1].der_percent


def test_the_pooled_error_on_simulated_conversations_is_what_the_model_says_of_itself(
    model: BoundModel, simulated_der_percent: float
) -> None:
    """Collar 0, overlap scored, no oracle speech detection."""
    (published,) = (
        one.der_percent for one in model.manifest.measured if one.data_set == "simulated"
    )
    assert simulated_der_percent == pytest.approx(published, abs=OTHER_MACHINE_PERCENT)


def test_identity_does_work(model: BoundModel, simulated_der_percent: float) -> None:
    """With the embeddings of each conversation shuffled over its frames the error rises clearly."""
    without = evaluate(model, SPEECH / "simulated", change=shuffled(seed=1))[-1].der_percent
    assert without - simulated_der_percent >= MINIMUM_WORTH_OF_IDENTITY_PERCENT


def test_every_real_excerpt_is_diarized(model: BoundModel) -> None:
    """Faint recordings of real meetings yield speech and speakers, each of them."""
    scores = evaluate(model, Path(SPEECH / "real"))
    assert len(scores) == 11
    assert all(score.missed_percent < 100.0 for score in scores)

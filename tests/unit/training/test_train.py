"""A training that was stopped continues as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training.batches import Part  # noqa: E402
from training.plan import Plan  # noqa: E402
from training.shape import Shape  # noqa: E402
from training.train import Trainer, load_network  # noqa: E402

SHAPE = Shape(channels=12, hidden=16, dilations=(1, 2), head=16, embedding_dim=8)
PLAN = Plan(steps=6, crop_stage_steps=2, warm_up_steps=2)
SPEAKERS = 3
ANSWERS = torch.nn.functional.normalize(
    torch.randn(7, SHAPE.embedding_dim, generator=torch.Generator().manual_seed(1)), dim=1
)


def test_resumed_training_equals_uninterrupted_training(tmp_path: Path) -> None:
    """Six steps in one go and three and three from a checkpoint end at the same bits."""
    straight = _advanced(Trainer(PLAN, ANSWERS, SHAPE), 6)
    _advanced(Trainer(PLAN, ANSWERS, SHAPE), 3).save(tmp_path / "half.pt")
    resumed = Trainer(PLAN, ANSWERS, SHAPE)
    resumed.restore(tmp_path / "half.pt")
    assert resumed.step == 3
    _advanced(resumed, 3)
    for one, other in zip(straight.parameters, resumed.parameters, strict=True):
        assert torch.equal(one, other)
    kept = zip(straight.average.parameters(), resumed.average.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in kept)


def test_what_is_loaded_is_the_average_of_the_last_steps(tmp_path: Path) -> None:
    """And not the weights that the last step has left."""
    trainer = _advanced(Trainer(PLAN, ANSWERS, SHAPE), 6)
    trainer.save(tmp_path / "last.pt")
    loaded = load_network(tmp_path / "last.pt")
    pairs = list(zip(loaded.parameters(), trainer.average.module.parameters(), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    last = zip(loaded.parameters(), trainer.parameters, strict=True)
    assert not all(torch.equal(one, other) for one, other in last)


def test_a_training_begins_with_the_averaged_weights_of_another(tmp_path: Path) -> None:
    """In the network and in its average, at step 0."""
    earlier = _advanced(Trainer(PLAN, ANSWERS, SHAPE), 6)
    earlier.save(tmp_path / "last.pt")
    trainer = Trainer(Plan(7, 2, seed=2), ANSWERS, SHAPE)
    trainer.begin_with(tmp_path / "last.pt")
    assert trainer.step == 0
    for network in (trainer.network, trainer.average.module):
        pairs = zip(network.parameters(), earlier.average.module.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_a_wider_network_begins_with_the_answers_of_a_narrower_one(tmp_path: Path) -> None:
    """All that it has more counts for nothing at first."""
    earlier = _advanced(Trainer(PLAN, ANSWERS, SHAPE), 6)
    earlier.save(tmp_path / "last.pt")
    wider = Trainer(PLAN, ANSWERS, replace(SHAPE, hidden=24, head=20))
    wider.begin_with(tmp_path / "last.pt")
    features = torch.randn(2, 40, 64, generator=torch.Generator().manual_seed(2))
    expected = load_network(tmp_path / "last.pt")(features)
    for network in (wider.network, wider.average.module):
        for one, other in zip(network.eval()(features), expected, strict=True):
            assert torch.allclose(one, other, atol=1e-5)
    _advanced(wider, 3)  # and it learns to make use of it
    assert wider.network.inner_layers()[1].weight[:, SHAPE.hidden :].abs().sum() > 0


@pytest.mark.parametrize(
    "shape",
    [replace(SHAPE, channels=16), replace(SHAPE, hidden=12), replace(SHAPE, embedding_dim=4)],
    ids=["more channels", "fewer units", "shorter vectors"],
)
def test_what_does_not_grow_is_refused(tmp_path: Path, shape: Shape) -> None:
    """More channels would change every answer; fewer units would lose some."""
    Trainer(PLAN, ANSWERS, SHAPE).save(tmp_path / "last.pt")
    other = Trainer(PLAN, ANSWERS[:, : shape.embedding_dim], shape)
    with pytest.raises(ValueError, match="do not grow"):
        other.begin_with(tmp_path / "last.pt")


def test_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    """Steps of one plan are never continued by another."""
    Trainer(PLAN, ANSWERS, SHAPE).save(tmp_path / "one.pt")
    with pytest.raises(ValueError, match="another plan"):
        Trainer(Plan(7, 2), ANSWERS, SHAPE).restore(tmp_path / "one.pt")


def _advanced(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        parts = [_part(trainer.step, 4)]
        if trainer.step >= trainer.plan.crop_stage_steps:
            parts.append(_part(100 + trainer.step, 2))
        trainer.advance(parts)
    return trainer


def _part(seed: int, batch: int) -> Part:
    generator = torch.Generator().manual_seed(seed)
    frames = 40
    features = torch.randn(batch, 4 * frames, 64, generator=generator)
    active = torch.randint(0, 3, (batch, frames), generator=generator)
    first = torch.randint(0, SPEAKERS, (batch, 1), generator=generator).expand(batch, frames)
    second = (first + 1) % SPEAKERS
    tracks = [torch.where(active > 0, first, -1), torch.where(active > 1, second, -1)]
    answers = torch.randn(batch, SPEAKERS, SHAPE.embedding_dim, generator=generator)
    answers = torch.nn.functional.normalize(answers, dim=2)
    voices = torch.arange(SPEAKERS).expand(batch, -1)
    return Part(features, active, torch.stack(tracks, dim=2), voices, answers)

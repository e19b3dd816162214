"""A training that was stopped continues as if it had not been."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training.batches import Part  # noqa: E402
from training.shape import Shape  # noqa: E402
from training.train import Plan, Trainer  # noqa: E402

SHAPE = Shape(channels=12, hidden=16, dilations=(1, 2), head=16, embedding_dim=8)
PLAN = Plan(steps=6, crop_stage_steps=2, warm_up_steps=2)
VOICES = 5


def test_resumed_training_equals_uninterrupted_training(tmp_path: Path) -> None:
    """Six steps in one go and three and three from a checkpoint end at the same bits."""
    straight = _advanced(Trainer(PLAN, VOICES, SHAPE), 6)
    _advanced(Trainer(PLAN, VOICES, SHAPE), 3).save(tmp_path / "half.pt")
    resumed = Trainer(PLAN, VOICES, SHAPE)
    resumed.restore(tmp_path / "half.pt")
    assert resumed.step == 3
    _advanced(resumed, 3)
    for one, other in zip(straight.parameters, resumed.parameters, strict=True):
        assert torch.equal(one, other)
    mean, again = straight.network.centre.running_mean, resumed.network.centre.running_mean
    assert torch.equal(mean, again)


def test_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    """Steps of one plan are never continued by another."""
    Trainer(PLAN, VOICES, SHAPE).save(tmp_path / "one.pt")
    with pytest.raises(ValueError, match="another plan"):
        Trainer(Plan(steps=7), VOICES, SHAPE).restore(tmp_path / "one.pt")


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
    first = torch.randint(0, VOICES, (batch, 1), generator=generator).expand(batch, frames)
    second = (first + 1) % VOICES
    tracks = [torch.where(active > 0, first, -1), torch.where(active > 1, second, -1)]
    return Part(features, active, torch.stack(tracks, dim=2))

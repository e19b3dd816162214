"""How long a training runs, and how fast it learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One training run."""

    steps: int
    crop_stage_steps: int  # crops alone; from then on conversations beside them
    seed: int = 1
    threads: int = 1  # and one process that makes batches
    peak_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    level_share: float = 0.6  # of the steps; from then on the rate falls
    averaged_steps: int = 200  # about so many steps are in the weights that are kept
    checkpoint_steps: int = 100

"""Trains a network: `python -m training.train [--product fast-cnn] [--resume]`.

First crops of single speakers, to answer as the teachers; then conversations beside them. A batch
depends on the seed and the step alone, so a run that is stopped continues from its checkpoint
exactly as if it had not been.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.optim import swa_utils
from torch.utils.data import DataLoader

from training import paths
from training.batches import Batches, Part, Recipe, read_sources
from training.corpus import tuning_corpus
from training.growth import grown
from training.lesson import Lesson, Weights
from training.network import StreamNetwork, WindowNetwork, make_network
from training.plan import Plan
from training.products import add_argument, chosen
from training.shape import Shape
from training.stream_lesson import StreamLesson
from training.window_lesson import WindowLesson

log = logging.getLogger("training")

_STEERED: Final = ("steps", "crop_stage_steps", "peak_rate", "seed")


class Trainer:
    """The network and its optimisers, and how far they have come."""

    def __init__(
        self, plan: Plan, voices: Tensor, shape: Shape, weights: Weights | None = None
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = make_network(shape)
        self.lesson = _lesson(self.network, voices, weights)
        self.average = swa_utils.AveragedModel(
            self.network, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(1 - 1 / plan.averaged_steps)
        )
        self.step = 0
        self.wall_seconds = 0.0
        self.parameters = list(self.network.parameters())
        matrices = [layer.weight for layer in self.network.inner_layers()]
        inner = {id(matrix) for matrix in matrices}
        others = [p for p in self.parameters if id(p) not in inner]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=plan.peak_rate,
                weight_decay=plan.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=plan.peak_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def advance(self, parts: list[Part]) -> dict[str, float]:
        """One step on this batch: crops, then conversations if there are any."""
        rate = learning_rate(self.plan, self.step)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
        self.network.train()
        crops, rest = parts[0], parts[1:]
        loss, told = self.lesson.of_crops(crops)
        loss.backward()  # type: ignore[no-untyped-call]
        if rest:
            loss, more = self.lesson.of_conversations(rest[0])
            loss.backward()  # type: ignore[no-untyped-call]
            told |= more
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return told

    def save(self, path: Path) -> None:
        """Writes everything that continuing needs, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        state = {
            "plan": asdict(self.plan),
            "shape": asdict(self.network.shape),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generator": torch.get_rng_state(),
            "wall_seconds": self.wall_seconds,
        }
        torch.save(state, partial)
        partial.replace(path)

    def begin_with(self, path: Path) -> None:
        """Takes the averaged weights of another training for a beginning.

        Raises:
            FileNotFoundError: There is no such checkpoint.
            ValueError: It is of a network that does not grow into this one.
        """
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: what this training begins with; make that version at its source commit, "
                "and move its folder there"
            )
        weights = grown(load_network(path).state_dict(), self.network.state_dict())
        self.network.load_state_dict(weights)
        self.average.module.load_state_dict(weights)

    def restore(self, path: Path) -> None:
        """Continues from a checkpoint of the same plan.

        Raises:
            ValueError: the checkpoint is of another plan.
        """
        state = torch.load(path, weights_only=True)
        if state["plan"] != asdict(self.plan):
            raise ValueError(f"{path.name} was made by another plan: {state['plan']}")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        torch.set_rng_state(state["generator"])
        self.step = state["step"]
        self.wall_seconds = state["wall_seconds"]


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, level, then a straight fall to a hundredth."""
    if step < plan.warm_up_steps:
        return plan.peak_rate * (step + 1) / plan.warm_up_steps
    level = plan.level_share * plan.steps
    share = max(0.0, (step - level) / (plan.steps - level))
    return plan.peak_rate * (1 - 0.99 * share)


def _lesson(
    network: StreamNetwork | WindowNetwork, voices: Tensor, weights: Weights | None
) -> Lesson:
    if isinstance(network, WindowNetwork):
        return WindowLesson(network, voices)
    return StreamLesson(network, voices, weights)


def load_network(path: str | Path) -> StreamNetwork | WindowNetwork:
    """The network of a checkpoint, its weights averaged over the last steps."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    shape = {**state["shape"], "dilations": tuple(state["shape"]["dilations"])}
    average = swa_utils.AveragedModel(make_network(Shape(**shape)))
    average.load_state_dict(state["average"])
    return cast("StreamNetwork | WindowNetwork", average.module).eval()


def run(
    plan: Plan,
    shape: Shape,
    folder: Path,
    *,
    resume: bool = False,
    begin: Path | None = None,
    recipe: Recipe | None = None,
    weights: Weights | None = None,
) -> None:
    """Carries the plan out; writes `last.pt`, `crops.pt`, `run.json` and `log.txt` to a folder.

    Args:
        plan: Of the training.
        shape: Of the network.
        folder: To write to.
        resume: Whether to go on from `last.pt`, if it is of the same plan.
        begin: Checkpoint of another training whose weights to begin with.
        recipe: Of the batches, by default that which fits the plan.
        weights: Of what is learnt from a stream, by default all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(folder / "log.txt")],
    )
    _keep_memory()
    torch.set_num_threads(plan.threads)
    sources = read_sources(paths.SPEECH, paths.CACHE)
    tuning_corpus(paths.SPEECH, paths.CACHE)  # decoded now, so that the time below is training's
    trainer = Trainer(plan, torch.from_numpy(sources.answers.of_voices), shape, weights)
    if resume:
        trainer.restore(folder / "last.pt")
    elif begin:
        trainer.begin_with(begin)
    count = sum(p.numel() for p in trainer.network.parameters())
    log.info(
        "%d parameters, %d voices, from step %d", count, len(sources.corpus.voices), trainer.step
    )
    batches = Batches(sources, recipe or Recipe(plan.crop_stage_steps), plan.seed)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(trainer.step, plan.steps),
        num_workers=1,
        prefetch_factor=6,
        worker_init_fn=_make_batches_alone,
    )
    began = time.monotonic() - trainer.wall_seconds
    for parts in loader:
        told = trainer.advance(parts)
        trainer.wall_seconds = time.monotonic() - began
        if trainer.step % 20 == 0:
            figures = " ".join(f"{name} {value:.3f}" for name, value in told.items())
            log.info("step %d, %.0f s: %s", trainer.step, trainer.wall_seconds, figures)
        if trainer.step % plan.checkpoint_steps == 0:
            trainer.save(folder / "last.pt")
        if trainer.step == plan.crop_stage_steps:
            trainer.save(folder / "crops.pt")
    trainer.save(folder / "last.pt")
    summary = {
        "steps": trainer.step,
        "parameters": count,
        "voices": len(sources.corpus.voices),
        "wall_minutes": round(trainer.wall_seconds / 60, 1),
        "plan": asdict(plan),
        "torch": torch.__version__,
        "source_commit": paths.head_commit(),
    }
    (folder / "run.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    log.info("%s", summary)


def main() -> None:
    """Trains by a product's plan, but for what is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_argument(parser)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--crop-stage-steps", type=int)
    parser.add_argument("--peak-rate", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--begin", type=Path, help="checkpoint whose weights to begin with")
    parser.add_argument("--run", type=Path, help="folder to write to")
    arguments = parser.parse_args()
    product = chosen(arguments)
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    plan = replace(product.plan, **{name: given[name] for name in _STEERED if name in given})
    run(
        plan,
        product.shape,
        arguments.run or product.run,
        resume=arguments.resume,
        begin=arguments.begin or product.begin,
    )


def _keep_memory() -> None:
    """Keeps freed memory for the next step: giving it back and asking again took half the time."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc; see mallopt(3) for the parameters
        library.mallopt(-4, 0)  # M_MMAP_MAX
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def _make_batches_alone(_worker: int) -> None:
    """One thread makes batches: more of them only wait for each other."""
    threadpool_limits(1)


if __name__ == "__main__":
    main()

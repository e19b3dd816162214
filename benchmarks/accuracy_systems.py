"""The systems whose accuracy is compared, each run over the same recordings.

Each writes what it says of a set's recordings to a folder of its own, in the files that
`voiceflow evaluate` writes, and all is measured from these files.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from benchmarks.baselines import Hypotheses, one_label, one_speaker, oracle_speech
from benchmarks.paths import ROOT
from benchmarks.service import running_service
from voiceflow.artifact import LatencyMode
from voiceflow.cli.evaluate.hearing import hear_set
from voiceflow.cli.evaluate.hypotheses import write_hypothesis
from voiceflow.cli.evaluate.scores import read_hypotheses
from voiceflow.client import DiarizationClient
from voiceflow.evaluation import EvaluationSet
from voiceflow.onnx import bind
from voiceflow.package import load_package

DELTAS_NEW: Final = (0.16, 0.2, 0.24, 0.28, 0.32, 0.36, 0.4)
"""Of the peer's threshold for a new speaker, beside the one that was tuned."""

PEER_PYTHON: Final = ROOT / ".venv-peer-diart" / "bin" / "python"


class System(StrEnum):
    """Who says who speaks when."""

    DENSITY = "density"
    AGENT = "agent"
    PEER = "peer"
    ORACLE_SPEECH = "oracle-speech"
    ONE_LABEL = "one-label"
    ONE_SPEAKER = "one-speaker"


WHAT: Final[Mapping[System, str]] = {
    System.DENSITY: "ours, density mode",
    System.AGENT: "ours, agent mode",
    System.PEER: "Silero VAD + Resemblyzer + diart's clustering",
    System.ORACLE_SPEECH: "ours, told how many speak when",
    System.ONE_LABEL: "our speech, all of it by one speaker",
    System.ONE_SPEAKER: "one speaker from beginning to end",
}


MODES: Final[Mapping[System, LatencyMode]] = {
    System.DENSITY: LatencyMode.DENSITY,
    System.AGENT: LatencyMode.AGENT,
}
"""Ours, live."""


def folder_of(out: Path, system: System, labelled: EvaluationSet) -> Path:
    """Where a system's hypotheses of a set lie."""
    return out / system / labelled.name


def run_service(package: Path, sets: list[EvaluationSet], out: Path) -> None:
    """Ours, in the modes that the model has, each recording a live stream through the service.

    Raises:
        VoiceFlowError: What a stream ended with.
    """
    served = load_package(package).manifest.hop_samples
    modes = {system: mode for system, mode in MODES.items() if mode in served}
    for system in MODES:  # what a model with other modes has left is not of this one
        shutil.rmtree(out / system, ignore_errors=True)
    with running_service(package) as service:
        asyncio.run(_hear(service.address, modes, sets, out))


def run_baselines(package: Path, sets: list[EvaluationSet], out: Path) -> None:
    """Those that know less, and the one that knows more; after ours."""
    model = bind(load_package(package))
    for labelled in sets:
        ours = read_hypotheses(folder_of(out, System.DENSITY, labelled), labelled)
        _write(folder_of(out, System.ONE_SPEAKER, labelled), one_speaker(labelled))
        _write(folder_of(out, System.ONE_LABEL, labelled), one_label(ours))
        _write(folder_of(out, System.ORACLE_SPEECH, labelled), oracle_speech(model, labelled))
        print(f"baselines: {labelled.name}", flush=True)


def run_peer(folders: Mapping[str, Path], sets: list[EvaluationSet], out: Path) -> str | None:
    """The peer, in its own environment, which is made if it is not there.

    Args:
        folders: Of the recordings, by set.
        sets: Those.
        out: Where hypotheses go.

    Returns:
        Why there is no peer, if there is none.
    """
    if not PEER_PYTHON.exists():
        made = subprocess.run(
            ["make", "peers"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            return f"`make peers` failed: {_last_line(made.stderr)}"
    for labelled in sets:
        target = folder_of(out, System.PEER, labelled)
        also = ("--also-delta-new", *map(str, DELTAS_NEW))
        why = peer_module("run", folders[labelled.name], target, *also)
        if why is not None:
            return f"it failed on {labelled.name}: {why}"
    return None


def peer_module(name: str, *arguments: str | Path) -> str | None:
    """Runs a module of the peer in its environment.

    Returns:
        The last that it said of why it failed, if it did.
    """
    ran = subprocess.run(  # noqa: S603
        [PEER_PYTHON, "-m", f"benchmarks.peers.diart.{name}", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return _last_line(ran.stderr) if ran.returncode else None


def left_by_model(sets: list[EvaluationSet], out: Path) -> set[System]:
    """The modes of which a run has left hypotheses of every set: a model need not have all."""
    return {system for system in MODES if all(folder_of(out, system, one).is_dir() for one in sets)}


def left_by_peer(sets: list[EvaluationSet], out: Path) -> str | None:
    """Why an earlier run has left no peer's hypotheses, if it has left none of some set."""
    missing = [one.name for one in sets if not folder_of(out, System.PEER, one).is_dir()]
    return f"an earlier run has left nothing of it on {', '.join(missing)}" if missing else None


async def _hear(
    address: str, modes: Mapping[System, LatencyMode], sets: list[EvaluationSet], out: Path
) -> None:
    async with DiarizationClient(address) as client:
        for system, mode in modes.items():
            for labelled in sets:
                folder = folder_of(out, system, labelled)
                await hear_set(client, labelled, folder, on_heard=_say(system), mode=mode)


def _say(system: System) -> Callable[[str], None]:
    return lambda name: print(f"{system}: {name}", flush=True)


def _write(folder: Path, hypotheses: Hypotheses) -> None:
    for name, spoken in hypotheses.items():
        write_hypothesis(folder, name, spoken)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"

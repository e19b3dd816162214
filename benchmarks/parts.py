"""What the parts of `make bench` share: their command lines, and what they write.

A part measures something, alone: `python -m benchmarks.NAME`. It writes one JSON document: where
the figures come from, and its runs. `benchmarks.bench` makes a report of these.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.paths import DEFAULT_MODEL, ROOT
from benchmarks.provenance import provenance
from benchmarks.streams import TALK_SECONDS, loaded_service
from tests.fakes.models import write_window_package
from voiceflow.bench.live import Server
from voiceflow.package import ModelPackage, load_package

OUT: Final = ROOT / "var" / "bench"
"""Where parts write to unless they are told."""

Run = dict[str, Any]
More = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Setup:
    """What a part is to measure, and for how long.

    Attributes:
        model: Package of the streaming model.
        window_model: Package of the windowed model; None: there is none, and a tiny one that hears
            tones stands in, which says how things are measured and nothing of a target.
        scale: Of how long everything lasts; 1: as it is published.
        settings: More settings of the services, by name.
        arguments: Those of the part itself.
        folder: Empty: for what stands in.
    """

    model: Path
    window_model: Path | None
    scale: float
    settings: Mapping[str, str]
    arguments: argparse.Namespace
    folder: Path

    @cached_property
    def audio(self) -> bytes:
        """Conversations, PCM16 at 16 kHz."""
        return pcm16(talk(TALK_SECONDS)[0])

    @cached_property
    def models(self) -> dict[str, Path]:
        """Both packages, by what the report calls them."""
        windowed = self.window_model or write_window_package(self.folder / "window")
        return {"windowed": windowed, "default": self.model}

    def seconds(self, published: float, least: float = 0.5) -> float:
        """How long something lasts that is published for so long."""
        return max(least, published * self.scale)

    def count(self, published: int, least: int = 1) -> int:
        """How often something is done that is published for so many times."""
        return max(least, round(published * self.scale))

    @property
    def engines(self) -> int:
        """Model calls that the services run at once: one in each worker."""
        return int(self.settings.get("workers", "1"))

    @contextmanager
    def service(self, model: Path, room: int) -> Iterator[Server]:
        """A service of that package; see `loaded_service`."""
        with loaded_service(model, room, **self.settings) as server:
            yield server


def part_main(
    name: str,
    what: str,
    measure: Callable[[Setup], Run],
    more: More | None = None,
    runs: int = 3,
) -> None:
    """The command line of a part.

    Args:
        name: Of the part and of its file.
        what: It measures, for the help.
        measure: One run.
        more: Adds the part's own arguments.
        runs: Unless it is said otherwise.
    """
    parser = argparse.ArgumentParser(description=what.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="streaming package")
    parser.add_argument(
        "--window-model", type=Path, help="windowed package; unset: a tiny one that hears tones"
    )
    parser.add_argument("--runs", type=count, default=runs)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of how long it all lasts; 1: as published"
    )
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the services, such as workers=2; may be repeated",
    )
    parser.add_argument("--json", type=Path, default=OUT / f"{name}.json", help="write here")
    if more is not None:
        more(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(
            arguments.model,
            arguments.window_model,
            arguments.scale,
            dict(arguments.set),
            arguments,
            Path(folder),
        )
        done = []
        for number in range(1, arguments.runs + 1):
            done.append(measure(setup))
            print(f"{name}: run {number} of {arguments.runs}", flush=True)
        document = part_document(name, setup, done)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(f"{arguments.json} is written")


def part_document(name: str, setup: Setup, runs: Sequence[Run]) -> dict[str, Any]:
    """What a part writes."""
    origin = asdict(provenance(load_package(setup.model), len(runs)))
    return {
        "part": name,
        "provenance": origin,
        "models": {told: _identity(load_package(path)) for told, path in setup.models.items()},
        "cores": os.cpu_count(),
        "stand_in": setup.window_model is None,
        "scale": setup.scale,
        "settings": dict(setup.settings),
        "runs": list(runs),
    }


def _identity(package: ModelPackage) -> dict[str, Any]:
    manifest = package.manifest
    return {
        "model": manifest.resource_name,
        "digest": manifest.files["model.onnx"],
        "contract": manifest.contract,
        "model_bytes": len(package.model_bytes),
    }


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name.replace("-", "_"), value

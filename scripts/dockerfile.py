"""What a Dockerfile says: its stages, and what the image of each is started with.

It knows the instructions that deploy/docker/Dockerfile has, and refuses every other, so that
nothing that a container engine would do is passed over by the tests or by `make rehearse-images`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from string import Template
from typing import Final

from dockerfile_parse import DockerfileParser
from pathspec import PathSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

ROOT: Final = Path(__file__).resolve().parent.parent
DOCKERFILE: Final = ROOT / "deploy" / "docker" / "Dockerfile"
IGNORED: Final = DOCKERFILE.with_name("Dockerfile.dockerignore")
PREFIX: Final = "voiceflow-"
"""Of an image's name, before its target's."""


@dataclass(frozen=True)
class Step:
    """One instruction of a stage.

    Attributes:
        word: Which: RUN, COPY and so on.
        value: What follows it, its lines joined.
    """

    word: str
    value: str


@dataclass(frozen=True)
class Copy:
    """What a COPY says.

    Attributes:
        stage: Where it copies from; None: from the context.
        sources: Paths there.
        target: Where to; with a slash at its end, a folder.
    """

    stage: str | None
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Config:
    """What a container is started with.

    Attributes:
        environment: Variables.
        folder: Working directory.
        user: `UID:GID`; empty: root.
        command: Program and arguments.
        health: The command that tells an engine whether it serves; empty: none.
        stop_signal: What ends it; empty: the engine's default.
        ports: That it says it listens on.
        labels: Told to whoever looks at the image.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    stop_signal: str = ""
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: Its own.
        base: The stage or image that it begins with.
        steps: What it does, in order.
    """

    name: str
    base: str
    steps: tuple[Step, ...]

    @property
    def copies(self) -> tuple[Copy, ...]:
        """Everything that it copies."""
        return tuple(read_copy(step.value) for step in self.steps if step.word == "COPY")


def read_stages(text: str, arguments: Mapping[str, str] | None = None) -> dict[str, Stage]:
    """The stages of a Dockerfile, in their order.

    Args:
        text: The file.
        arguments: Of the build, instead of those that the file has.

    Raises:
        ValueError: It has an instruction, or a form of one, that is not known here.
    """
    known: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for step in _steps(text):
        if step.word == "FROM":
            match shlex.split(Template(step.value).substitute(known)):
                case [base, "AS", name]:
                    stages[name] = Stage(name, base, ())
                case _:
                    raise ValueError(f"FROM {step.value}: a stage without a name")
        elif stages:
            last = stages[next(reversed(stages))]
            stages[last.name] = replace(last, steps=(*last.steps, step))
        elif step.word == "ARG":
            name, _, default = step.value.partition("=")
            known[name] = (arguments or {}).get(name, default)
        else:
            raise ValueError(f"{step.word} {step.value}: before the first stage")
    return stages


def _steps(text: str) -> Iterator[Step]:
    parser = DockerfileParser(fileobj=StringIO(text))
    for entry in parser.structure:
        if entry["instruction"] != "COMMENT":
            yield Step(entry["instruction"], entry["value"])


def read_copy(value: str) -> Copy:
    """Reads what a COPY says.

    Raises:
        ValueError: It has options that are not known here.
    """
    words = shlex.split(value)
    options = [word for word in words if word.startswith("--")]
    *sources, target = words[len(options) :]
    match options:
        case []:
            return Copy(None, tuple(sources), target)
        case [option] if option.startswith("--from="):
            return Copy(option.removeprefix("--from="), tuple(sources), target)
        case _:
            raise ValueError(f"COPY {value}: with options that are not known")


def lineage(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """A stage with all that it begins with, the first of them first."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def needed(stages: Mapping[str, Stage], name: str) -> list[str]:
    """Every stage that one is made of, in the order in which they are made; itself last."""
    wanted = {name}
    for stage in reversed([*stages.values()]):
        if stage.name in wanted:
            sources = {copy.stage for copy in stage.copies if copy.stage} | {stage.base}
            wanted |= sources & set(stages)
    return [one for one in stages if one in wanted]


def targets(stages: Mapping[str, Stage]) -> list[str]:
    """The stages that are images: those that say what is started."""
    return [name for name, stage in stages.items() if any(one.word == "CMD" for one in stage.steps)]


def configured(stages: Mapping[str, Stage], name: str, base: Mapping[str, str]) -> Config:
    """What the image of a stage is started with.

    Args:
        stages: Of the file.
        name: The stage's.
        base: Variables of the image that it begins with.

    Raises:
        ValueError: It has an instruction, or a form of one, that is not known here.
    """
    config = Config(environment=dict(base))
    for stage in lineage(stages, name):
        arguments: dict[str, str] = {}
        for step in stage.steps:
            config = after(config, step, arguments)
    return config


def after(config: Config, step: Step, arguments: dict[str, str]) -> Config:
    """What a step makes of what was configured before; ARG adds to the stage's `arguments`.

    Raises:
        ValueError: It is an instruction, or a form of one, that is not known here.
    """
    known = {**arguments, **config.environment}
    match step.word:
        case "ARG":
            name, _, default = step.value.partition("=")
            arguments[name] = default
        case "ENV":
            pairs = _pairs(step.value, known)
            config = replace(config, environment={**config.environment, **pairs})
        case "LABEL":
            config = replace(config, labels={**config.labels, **_pairs(step.value, known)})
        case "WORKDIR":
            config = replace(config, folder=str(Path(config.folder, step.value)))
        case "USER":
            config = replace(config, user=step.value)
        case "EXPOSE":
            ports = tuple(int(port) for port in step.value.split())
            config = replace(config, ports=(*config.ports, *ports))
        case "STOPSIGNAL":
            config = replace(config, stop_signal=step.value)
        case "CMD":
            config = replace(config, command=_words(step.value))
        case "HEALTHCHECK":
            _, _, command = step.value.partition(" CMD ")
            config = replace(config, health=_words(command))
        case "RUN" | "COPY":
            pass
        case _:
            raise ValueError(f"{step.word}: not known")
    return config


def _pairs(value: str, known: Mapping[str, str]) -> dict[str, str]:
    words = (word.partition("=") for word in shlex.split(Template(value).substitute(known)))
    return {name: text for name, _, text in words}


def _words(value: str) -> tuple[str, ...]:
    """What is started, which has to be a list: a shell would not hand signals on."""
    try:
        words = json.loads(value)
    except ValueError:
        raise ValueError(f"{value}: is for a shell") from None
    return tuple(str(word) for word in words)


def let_through(listed: list[str], ignored: str) -> list[str]:
    """The files of the context that reach the builder.

    Args:
        listed: All, from the context's root on.
        ignored: The text of the file that names what does not.
    """
    # Git's rules hold below every folder, an engine's at the context's root alone.
    anchored = (re.sub("^(!?)", r"\1/", line) for line in ignored.splitlines())
    spec = PathSpec.from_lines(GitIgnoreSpecPattern, anchored)
    return [path for path in listed if not spec.match_file(path)]

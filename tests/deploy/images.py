"""What is wrong with a Dockerfile: with itself, and beside the manifests and the compose file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from scripts.dockerfile import (
    PREFIX,
    ROOT,
    Config,
    Copy,
    Stage,
    configured,
    let_through,
    lineage,
    needed,
    read_stages,
    targets,
)
from scripts.links import git
from tests.deploy.k8s_cluster import OVERLAYS, Container, load
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

DATA: Final = "/var/lib/voiceflow"
_PATH: Final = {"PATH": "/usr/bin"}
_INSTALLED: Final = re.compile(r"apt-get install --yes --no-install-recommends ([\w. -]+)")
_RUNS: Final = {
    "inference": {"python3.11"},
    "inference-cuda": {"python3.12"},
    "registry": {"libseccomp2", "python3.11"},
    "validator": {"libseccomp2", "python3.11"},
}
"""All that each image takes from its distribution."""
_LABELS: Final = {"title", "description", "licenses", "version", "revision"}


@dataclass(frozen=True)
class Images:
    """A Dockerfile as the checks see it.

    Attributes:
        text: Its own.
        ignored: The text of what names the files that do not reach the builder.
    """

    text: str
    ignored: str

    @property
    def stages(self) -> Mapping[str, Stage]:
        """By name."""
        return read_stages(self.text)

    def config(self, target: str) -> Config:
        """What an image is started with."""
        return configured(self.stages, target, _PATH)


@cache
def containers() -> tuple[tuple[str, Container], ...]:
    """Every container of ours in every overlay, with the target of its image."""
    return tuple(
        (name.partition(":")[0].removeprefix(PREFIX), container)
        for overlay in OVERLAYS
        for container in load(overlay).containers
        if (name := container.spec["image"].rpartition("/")[2]).startswith(PREFIX)
    )


@cache
def _listed() -> tuple[str, ...]:
    return tuple(git("ls-files", "--cached", "--others", "--exclude-standard").splitlines())


def compose() -> dict[str, Any]:
    """The services of compose.yaml."""
    text = (ROOT / "deploy" / "compose" / "compose.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def faults(images: Images) -> Iterator[str]:
    """Everything that is wrong."""
    try:
        stages = images.stages
        configs = {name: images.config(name) for name in stages}
        copies = [copy for stage in stages.values() for copy in stage.copies]
    except ValueError as error:
        yield str(error)
        return
    configs = {target: configs[target] for target in targets(stages)}
    yield from _built(stages)
    for target, config in configs.items():
        yield from _image_faults(target, config)
        yield from _made_faults(stages, target)
    yield from _started(configs)
    yield from _copied(set(stages), copies, images.ignored)
    yield from _bases(images.text)


def _built(stages: Mapping[str, Stage]) -> Iterator[str]:
    wanted = {target for target, _ in containers()} | set(_RUNS)
    for service in compose().values():
        build = service.get("build", {})
        name = service["image"].partition(":")[0]
        if name.startswith(PREFIX):
            wanted.add(name.removeprefix(PREFIX))
            if build and f"{PREFIX}{build['target']}" != name:
                yield f"compose: {name} is built from {build['target']}"
    for target in sorted(wanted ^ set(targets(stages))):
        yield f"{target}: is run and not built, or built and not run"


def _image_faults(target: str, config: Config) -> Iterator[str]:
    if config.folder != DATA:
        yield f"{target}: works in {config.folder}"
    if config.stop_signal != "SIGTERM":
        yield f"{target}: is not told to end by SIGTERM"
    if not config.environment["PATH"].startswith("/opt/voiceflow/bin:"):
        yield f"{target}: python and voiceflow are not in its path"
    labels = {name.removeprefix("org.opencontainers.image.") for name in config.labels}
    if labels != _LABELS or config.labels["org.opencontainers.image.title"] != PREFIX + target:
        yield f"{target}: its labels do not say what it is"
    server = InferenceSettings if target.startswith("inference") else RegistrySettings
    prefix = server.model_config["env_prefix"]
    for name in set(config.environment) - {"PATH"}:
        if name.removeprefix(prefix).lower() not in server.model_fields:
            yield f"{target}: nothing reads {name}"
    asked = config.environment.get(f"{prefix}HEALTH_PORT", "")
    if config.health != ("python", "-m", "voiceflow.rpc.probe", asked):
        yield f"{target}: is asked how it fares where it does not answer"


def _made_faults(stages: Mapping[str, Stage], target: str) -> Iterator[str]:
    runs = [one.value for stage in lineage(stages, target) for one in stage.steps]
    found = (
        name for value in runs for names in _INSTALLED.findall(value) for name in names.split()
    )
    installed = set(found)
    if installed != _RUNS.get(target) or any("pip " in value for value in runs):
        yield f"{target}: holds {', '.join(sorted(installed))}, or installs more"
    made = [step for name in needed(stages, target) for step in stages[name].steps]
    locks = {f"requirements/{target}.lock", "requirements/build.lock"}
    if {one for step in made for one in re.findall(r"(?<!\S)\S+\.lock", step.value)} != locks:
        yield f"{target}: is made of other locks than its own"
    for step in made:
        for install in re.findall(r"pip (?:--python \S+ )?install [^&]*", step.value):
            if "--require-hashes -r " not in install and "--no-deps --no-index" not in install:
                yield f"{target}: installs without hashes: {install.strip()}"


def _started(configs: Mapping[str, Config]) -> Iterator[str]:
    for target, container in containers():
        config = configs.get(target)
        if config is None:
            continue
        context = container.workload.pod["securityContext"]
        if config.user != f"{context['runAsUser']}:{context['runAsGroup']}":
            yield f"{target}: {container.where} runs as another user"
        if container.server is None:
            continue
        if tuple(container.spec["command"]) != config.command:
            yield f"{target}: {container.where} starts something else"
        if not set(container.ports.values()) <= set(config.ports):
            yield f"{target}: {container.where} has other ports"
        prefix = container.server.model_config["env_prefix"]
        for name in container.settings.model_fields_set:
            said = config.environment.get(f"{prefix}{name.upper()}")
            if said is not None and said != str(getattr(container.settings, name)):
                yield f"{target}: {container.where} has another {name}"


def _copied(stages: AbstractSet[str], copies: Sequence[Copy], ignored: str) -> Iterator[str]:
    through = let_through([*_listed()], ignored)
    for copy in copies:
        if copy.stage is not None and copy.stage not in stages:
            yield f"COPY: there is no stage {copy.stage}"
    sources = {source for copy in copies if copy.stage is None for source in copy.sources}
    used = {
        path: [one for one in sources if path == one or path.startswith(f"{one}/")]
        for path in through
    }
    for source in sorted(sources - {one for ones in used.values() for one in ones}):
        yield f"COPY: {source} is not there, or does not reach the builder"
    if idle := [path for path, ones in used.items() if not ones]:
        yield f"COPY: reach the builder for nothing: {', '.join(idle[:3])}"


def _bases(text: str) -> Iterator[str]:
    bases = re.findall(r"^ARG (DEBIAN|CUDA)=(\S+)$", text, re.MULTILINE)
    if [name for name, _ in bases] != ["DEBIAN", "CUDA"]:
        yield "the images that all is made of cannot be chosen"
    for _, image in bases:
        tag = image.partition("@")[0].rpartition(":")[2]
        if tag in {"", "latest"} or "/" in tag or ":" not in image:
            yield f"{image}: of no tag"

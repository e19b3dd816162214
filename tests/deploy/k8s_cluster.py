"""What an overlay of deploy/k8s renders to, to be asked about: workloads, settings, objects."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import yaml
from pydantic_settings import CliApp

from tests.deploy.queries import ROOT
from voiceflow.cli.models.operating import collect_garbage
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

Object: TypeAlias = dict[str, Any]
Settings: TypeAlias = InferenceSettings | RegistrySettings

K8S: Final = ROOT / "deploy" / "k8s"
RENDERED: Final = K8S / "rendered"
COMMON: Final = "production"
"""An overlay that others stand on, and that is not applied."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SERVERS: Final[Mapping[str, type[InferenceSettings | RegistrySettings]]] = {
    "voiceflow_inference": InferenceSettings,
    "voiceflow_registry": RegistrySettings,
}


def read(path: Path) -> list[Object]:
    """Every object of a file."""
    found = yaml.load_all(path.read_text(), _LOADER)
    return [one for one in found if one]


@dataclass(frozen=True)
class Container:
    """A container of a workload.

    Attributes:
        cluster: All of the overlay.
        workload: Whose it is.
        spec: As rendered.
        is_sidecar: It begins before the others and ends after them.
    """

    cluster: Cluster
    workload: Workload
    spec: Object
    is_sidecar: bool = False

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.workload.name}/{self.spec['name']}"

    @property
    def server(self) -> type[Settings] | None:
        """The settings that its command takes; None: it is no server of ours."""
        command = self.spec.get("command", [])
        return _SERVERS.get(command[2]) if command[:2] == ["python", "-m"] else None

    @property
    def is_ours(self) -> bool:
        """Whether the project's own code runs in it."""
        return self.server is not None or self.spec.get("command", [""])[0] == "voiceflow"

    @property
    def environment(self) -> dict[str, str]:
        """Variables, also those whose value stands in a ConfigMap of the overlay."""
        found = {}
        for variable in self.spec.get("env") or []:
            value = variable.get("value")
            if value is None:
                source = variable["valueFrom"]["configMapKeyRef"]
                value = self.cluster.object("ConfigMap", source["name"])["data"][source["key"]]
            found[variable["name"]] = value
        return found

    @property
    def settings(self) -> Settings:
        """What the command line and the variables set.

        Raises:
            ValidationError: They are not allowed.
        """
        assert self.server is not None
        arguments = tuple(self.spec.get("args", []))
        return _settings(self.server, arguments, tuple(self.environment.items()))

    @property
    def options(self) -> dict[str, Any]:
        """What the command of `voiceflow` is told; of the only one that is used."""
        program, group, name = self.spec["command"]
        assert (program, group, name) == ("voiceflow", "models", collect_garbage.name)
        with patch.dict(os.environ, self.environment, clear=True):
            return collect_garbage.make_context(name, list(self.spec.get("args", []))).params

    @property
    def ports(self) -> dict[str, int]:
        """Of the container, by name."""
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", [])}


@dataclass(frozen=True)
class Workload:
    """What makes pods.

    Attributes:
        cluster: All of the overlay.
        kind: Deployment or CronJob.
        name: Its own.
        spec: Its own, as rendered.
        template: Of its pods.
    """

    cluster: Cluster
    kind: str
    name: str
    spec: Object
    template: Object

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Object:
        """The specification of its pods."""
        spec: Object = self.template["spec"]
        return spec

    @cached_property
    def containers(self) -> list[Container]:
        """All of them, those that begin first first."""
        first = [
            Container(self.cluster, self, one, is_sidecar=True)
            for one in self.pod.get("initContainers", [])
        ]
        return first + [Container(self.cluster, self, one) for one in self.pod["containers"]]

    @property
    def main(self) -> Container:
        """What the workload is for."""
        (one,) = [container for container in self.containers if not container.is_sidecar]
        return one

    @property
    def ports(self) -> dict[str, int]:
        """Of all containers, by name."""
        return {name: port for one in self.containers for name, port in one.ports.items()}

    @property
    def is_inference(self) -> bool:
        """Whether streams are served."""
        return self.main.server is InferenceSettings


@dataclass(frozen=True)
class Cluster:
    """What an overlay renders to.

    Attributes:
        name: The overlay's.
        objects: All of them.
    """

    name: str
    objects: list[Object]

    @property
    def is_development(self) -> bool:
        """Whether nobody is known to anybody in it."""
        return self.name == "dev"

    def of(self, *kinds: str) -> Iterator[Object]:
        """Objects of these kinds."""
        return (one for one in self.objects if one["kind"] in kinds)

    def has(self, kind: str, name: str) -> bool:
        """Whether there is such an object."""
        return any(one["metadata"]["name"] == name for one in self.of(kind))

    def object(self, kind: str, name: str) -> Object:
        """The one of that kind and name.

        Raises:
            KeyError: There is none, or several.
        """
        found = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        if len(found) != 1:
            raise KeyError(f"{kind}/{name}: there are {len(found)}")
        return found[0]

    @cached_property
    def workloads(self) -> list[Workload]:
        """Whatever makes pods."""
        found = []
        for one in self.of("Deployment", "CronJob"):
            spec = one["spec"]
            template = (spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec)[
                "template"
            ]
            found.append(Workload(self, one["kind"], one["metadata"]["name"], spec, template))
        return found

    @property
    def containers(self) -> Iterator[Container]:
        """Of all workloads."""
        return (container for workload in self.workloads for container in workload.containers)

    def selected(self, selector: Mapping[str, Any]) -> list[Workload]:
        """Workloads whose pods a label selector matches; a Service's plain map will do, too."""
        return [one for one in self.workloads if matches(selector, one.labels)]


@cache
def _settings(
    server: type[Settings], arguments: tuple[str, ...], environment: tuple[tuple[str, str], ...]
) -> Settings:
    with patch.dict(os.environ, dict(environment), clear=True):
        return CliApp.run(server, cli_args=list(arguments))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels are what a selector asks for."""
    plain = not {"matchLabels", "matchExpressions"} & set(selector)
    wanted = selector if plain else selector.get("matchLabels", {})
    expressions = [] if plain else selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def load(overlay: str) -> Cluster:
    """An overlay, as it is rendered and committed."""
    return Cluster(overlay, read(RENDERED / f"{overlay}.yaml"))


def spoiled(cluster: Cluster, kind: str, name: str, path: str, value: Any) -> Cluster:
    """A copy in which one place of one object is another.

    Args:
        cluster: Is left as it is.
        kind: Of the object.
        name: Likewise.
        path: Keys, and indices or names of items, with `/` between them; `~1` is a slash in a key.
        value: What stands there then; None: nothing does.
    """
    copy = Cluster(cluster.name, json.loads(json.dumps(cluster.objects)))
    *way, last = [part.replace("~1", "/") for part in path.split("/")]
    at: Any = copy.object(kind, name)
    for part in way:
        at = at[_index(at, part)]
    if value is None:
        del at[_index(at, last)]
    else:
        at[_index(at, last)] = value
    return copy


def _index(at: Any, part: str) -> str | int:
    if isinstance(at, dict):
        return part
    return int(part) if part.isdigit() else [one["name"] for one in at].index(part)


def without(cluster: Cluster, kind: str, name: str) -> Cluster:
    """A copy without one object."""
    gone = cluster.object(kind, name)
    return Cluster(cluster.name, [one for one in cluster.objects if one is not gone])


OVERLAYS: Final = sorted(path.stem for path in RENDERED.glob("*.yaml"))

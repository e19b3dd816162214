"""What deploy/compose starts fits together, and is what the services and the command take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic_settings import CliApp

from tests.deploy.queries import ROOT
from tests.deploy.test_metric_names import ALERTS
from voiceflow.cli.models.publishing import publish
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

FOLDER: Final = ROOT / "deploy" / "compose"
COLLECTOR: Final = "http://collector:4317"


def read(name: str) -> Any:
    """A file of the folder."""
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Those of compose.yaml."""
    found: dict[str, Any] = read("compose.yaml")["services"]
    return found


def registry_of(services: dict[str, Any]) -> RegistrySettings:
    """What its command line sets."""
    return CliApp.run(RegistrySettings, cli_args=_arguments(services["registry"]))


def inference_of(services: dict[str, Any]) -> InferenceSettings:
    """What its command line sets."""
    return CliApp.run(InferenceSettings, cli_args=_arguments(services["inference"]))


def _arguments(service: dict[str, Any]) -> list[str]:
    python, option, _, *arguments = service["command"]
    assert (python, option) == ("python", "-m")
    return list(arguments)


def test_the_services_take_their_command_lines(services: dict[str, Any]) -> None:
    """And tell their metrics where Prometheus looks, and their spans where the collector is."""
    scraped = {
        target: job["job_name"]
        for job in read("prometheus.yaml")["scrape_configs"]
        for config in job["static_configs"]
        for target in config["targets"]
    }
    for settings in (registry_of(services), inference_of(services)):
        name = "registry" if isinstance(settings, RegistrySettings) else "inference"
        assert services[name]["command"][2] == f"voiceflow_{name}"
        assert settings.otlp_endpoint == COLLECTOR
        assert settings.metrics_host == settings.host == "0.0.0.0"  # noqa: S104 - in a container
        assert scraped.pop(f"{name}:{settings.metrics_port}") == f"voiceflow-{name}"
        assert f"127.0.0.1:{settings.port}:{settings.port}" in services[name]["ports"]
    assert not scraped


def test_the_pod_follows_the_channel_that_is_published_to(services: dict[str, Any]) -> None:
    """The command is one that there is, for a package that there is, to the same registry."""
    program, group, command, *arguments = services["publish"]["command"]
    assert (program, group, command) == ("voiceflow", "models", "publish")
    options = publish.make_context(command, arguments).params
    pod = inference_of(services)
    assert options["channel"] == pod.channel
    assert (ROOT / options["folder"] / "manifest.json").is_file()
    assert options["registry"] == pod.registry
    assert pod.model == Path(options["folder"]).parts[1]
    assert services["publish"]["environment"] == {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}


def test_whatever_is_mounted_is_there(services: dict[str, Any]) -> None:
    """Files of this repository, or volumes that are declared; nothing is bound but to loopback."""
    volumes = read("compose.yaml")["volumes"]
    for service in services.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or (FOLDER / source).resolve().exists(), mount
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port


def test_the_collector_hands_on_what_it_takes(services: dict[str, Any]) -> None:
    """Each part of a pipeline is configured, and each place that it sends to is started."""
    config = read("collector.yaml")
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(config[kind])
    assert config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    assert config["exporters"]["otlp/jaeger"]["endpoint"].split(":")[0] in services
    for source in read("grafana/datasources.yaml")["datasources"]:
        assert source["url"].removeprefix("http://").split(":")[0] in services


def test_prometheus_and_grafana_read_what_this_repository_has(services: dict[str, Any]) -> None:
    """The rules and the dashboards are mounted where their programs look."""
    rules = [mount.split(":") for mount in services["prometheus"]["volumes"]]
    (place,) = [where for source, where, _ in rules if (FOLDER / source).resolve() == ALERTS]
    assert Path(place).name in read("prometheus.yaml")["rule_files"]
    (provider,) = read("grafana/dashboards.yaml")["providers"]
    mounts = [mount.split(":") for mount in services["grafana"]["volumes"]]
    dashboards = {where: (FOLDER / source).resolve() for source, where, _ in mounts}
    assert dashboards[provider["options"]["path"]] == ROOT / "deploy" / "grafana"
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (dashboards[str(home.parent)] / home.name).is_file()

"""The page on rollouts: every command in it runs as it stands there, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.config import kube_config

from tests.fakes import service
from tests.fakes.client_identity import BY_CERTIFICATE
from tests.fakes.cluster import NAMESPACE, FakeCluster, cluster
from tests.fakes.identity import pair
from tests.fakes.models import write_window_package
from tests.faults.streams import Stream
from tests.integration.pages import Page, run
from voiceflow.cli.rollout.group import blue_green
from voiceflow.client.identity import ClientIdentity
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.rollout import carrying

PAGE = Page("rollout.md")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """What the page takes for granted, with load balancers that follow at once."""
    monkeypatch.setattr(carrying, "_LOOK_EVERY_SECONDS", 0.01)
    (settle,) = (one for one in blue_green.params if one.name == "settle_seconds")
    monkeypatch.setattr(settle, "default", "0s")
    with cluster() as fake:
        fake.add_service("blue")
        for colour, count in (("blue", 3), ("green", 1)):
            fake.add_side(colour, count)
            fake.add_autoscaler(colour, 1, 10)
        location = str(fake.kubeconfig(tmp_path / "kubeconfig"))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", location)
        yield fake
        assert fake.unknown == []


async def test_the_page_leads_to_green_and_back_and_through_a_canary(fake: FakeCluster) -> None:
    """Each command ends well; and the role of the page has the rights that they use, no more."""
    selected = []
    for command, expected in PAGE.commands():
        code, told = await run(command)
        assert code == expected, f"{command}\n{told}"
        selected.append(fake.selected())
    assert selected == ["blue", "blue", "green", "blue", None, None, "green"]
    (role,) = PAGE.blocks("yaml")
    granted = {
        f"{verb} {resource}"
        for rule in yaml.safe_load(role)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = {one.removesuffix("?dryRun") for one in fake.seen}
    forwarding = {"get pods/portforward", "create pods/portforward"}
    assert used - {"portforward pods"} == granted - forwarding
    assert forwarding < granted


async def test_production_of_gke_is_led_to_green_and_back(fake: FakeCluster) -> None:
    """By the commands of its own page, from a green that has no pods; here nobody is known."""
    fake.add_side("green", 0)
    section = Page("kubernetes.md").text.partition("### A rollout from beginning to end")[2]
    lines = [line for line in section.splitlines() if line.startswith("voiceflow rollout ")]
    selected = []
    for line in lines:
        here = line.replace("--namespace voiceflow ", f"--namespace {NAMESPACE} ")
        code, told = await run(here.replace(" --token-file operator-token", ""))
        assert code == 0, f"{line}\n{told}"
        selected.append(fake.selected())
    assert selected == ["blue", "blue", "green", "blue"]


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project."""
    assert PAGE.dead_links() == []


async def test_a_pod_that_knows_its_callers_is_drained_by_an_operator(
    fake: FakeCluster, tmp_path: Path
) -> None:
    """The real service, over TLS from end to end; its live stream goes on to its end."""
    model = bind(load_package(write_window_package(tmp_path / "model")))
    command = "voiceflow rollout blue-green --to green --yes --server-name localhost"
    client = pair("client")
    identity = ClientIdentity(client.ca, client.certificate, client.key, server_name="localhost")
    async with service.running(model, **BY_CERTIFICATE) as (app, address):
        port = int(address.rpartition(":")[2])
        for pod in fake.pods.values():
            pod.port = port
        fake.on_pod = lambda pod: setattr(pod, "port", port)
        for who, code, reason in (("client", 7, "ROLE_MISSING"), ("", 4, "UNAVAILABLE")):
            own = pair(who) if who else None
            options = f" --cert {own.certificate} --key {own.key}" if own else ""
            seen, told = await run(f"{command} --ca {client.ca}{options}")
            assert (seen, reason in told) == (code, True), told
        assert fake.changes() == []
        async with identity.open_channel(address) as channel:
            live = Stream(channel)
            await live.send(service.config(), service.audio(bytes(32_000)))
            await live.covered(0.4)
            operator = pair("operator")
            options = f" --ca {operator.ca} --cert {operator.certificate} --key {operator.key}"
            switching = asyncio.create_task(run(f"{command}{options}"))
            while not app.admission.draining:  # noqa: ASYNC110 another thread's doing
                await asyncio.sleep(0.01)
            assert fake.selected() == "green"
            assert not switching.done()
            await live.send(service.FINISH)
            assert (await live.outcome()).complete
        code, told = await switching
        assert code == 0, told
        assert not app.admission.draining

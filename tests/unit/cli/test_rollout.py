"""`voiceflow rollout` against a simulated cluster, through the official client."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from tests.fakes.cluster import NAMESPACE, SERVICE, FakeCluster, Fault, Trouble, cluster
from tests.fakes.cluster_pods import SimulatedPod
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError
from voiceflow.rollout import carrying, writing
from voiceflow.rollout.adapter import connection, pods

SWITCH = ("blue-green", "--to", "green", "--yes", "--settle", "0s")
BACK = ("blue-green", "--to", "blue", "--yes", "--settle", "0s")


@dataclass(frozen=True)
class Desk:
    """An SRE's, and the cluster that it looks at.

    Attributes:
        cluster: Blue has three pods with two streams each and serves; green stands by with one.
        kubeconfig: Leads there.
    """

    cluster: FakeCluster
    kubeconfig: Path

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """A command to its end: exit code, what it said, and what it said of what went wrong."""
        options = ["rollout", *arguments, "--kubeconfig", str(self.kubeconfig)]
        result = CliRunner().invoke(commands, options)
        error = result.exception
        if isinstance(error, VoiceFlowError):
            return exit_code(error), result.stdout, result.stderr + "\n".join(error_lines(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return result.exit_code, result.stdout, result.stderr

    def end_streams(self) -> None:
        """All callers hang up."""
        for pod in self.cluster.pods.values():
            pod.streams, pod.stuck = 0, False


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Without patience."""
    monkeypatch.setattr(carrying, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(writing, "_FIRST_PAUSE_SECONDS", 0.001)
    with cluster() as fake:
        fake.add_service("blue")
        fake.add_side("blue", 3)
        fake.add_side("green", 1)
        for pod in fake.side("blue"):
            pod.streams = 2
        fake.looks_until_ready = 2
        yield Desk(fake, fake.kubeconfig(tmp_path / "kubeconfig"))
        assert fake.unknown == []


def test_everything_new_goes_to_green_and_blue_is_emptied(desk: Desk) -> None:
    """The switch comes when green serves; then blue is drained, and scaled down when empty."""
    blue = desk.cluster.side("blue")
    code, said, wrong = desk.run(*SWITCH, "--drain-deadline", "5m")
    assert (code, wrong) == (0, "")
    assert desk.cluster.selected() == "green"
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [1, 3]
    assert all(pod.deadlines == [300.0] for pod in blue)
    assert desk.cluster.annotations("services", SERVICE) == {}
    assert not any(pod.draining for pod in desk.cluster.pods.values())
    assert desk.cluster.changes() == [
        "patch deployments/scale",
        "patch services",
        "patch deployments/scale",
        "patch services",
    ]
    assert "not ready" in said
    assert "2 live streams and 0 recordings" in said
    assert said.splitlines()[-1] == (
        "done: new connections go to green; blue has 1 pods, 1 serving, 0 streams; green has 3"
        " pods, 3 serving, 0 streams"
    )
    code, said, _ = desk.run(*SWITCH)
    assert (code, said.splitlines()[-1]) == (0, "nothing to do: it is so")


def test_nothing_is_sent_to_green_before_it_serves_what_its_channel_wants(desk: Desk) -> None:
    """It is ready before: Kubernetes does not know of versions."""
    selected: list[str | None] = []

    def behind(pod: SimulatedPod) -> None:
        pod.serving = 0
        pod.on_asked = is_behind

    def is_behind(pod: SimulatedPod) -> None:
        pod.on_asked = catches_up

    def catches_up(pod: SimulatedPod) -> None:
        selected.append(desk.cluster.selected())
        pod.serving = 1
        pod.on_asked = lambda _: None

    desk.cluster.on_pod = behind
    code, said, _ = desk.run(*SWITCH)
    assert (code, "it serves 0, its channel wants 1" in said) == (0, True)
    assert selected == ["blue", "blue"]
    assert desk.cluster.selected() == "green"


def test_blue_is_not_drained_before_the_switch(desk: Desk) -> None:
    """Callers would be refused everywhere."""
    desk.cluster.plan(Fault("patch services", status=403, times=None))
    desk.run(*SWITCH)
    assert not any(pod.draining or pod.deadlines for pod in desk.cluster.side("blue"))


def test_an_autoscaler_does_not_take_the_pods_away_again(desk: Desk) -> None:
    """Its minimum is raised meanwhile, and noted on it; in the end it is what it was."""
    desk.cluster.add_autoscaler("green", 1, 10)
    desk.cluster.add_autoscaler("blue", 2, 10)
    desk.cluster.plan(Fault("patch services", status=403, times=1))
    code, *_ = desk.run(*SWITCH)
    assert code == 7
    name = f"{SERVICE}-green"
    assert desk.cluster.bounds("green") == (3, 10)
    noted = desk.cluster.annotations("horizontalpodautoscalers", name)
    assert noted == {"voiceflow.dev/rollout-min-replicas": "1"}
    code, said, _ = desk.run("status")
    assert "3 to 10 (was 1)" in said
    assert desk.run(*SWITCH)[0] == 0
    assert desk.cluster.bounds("green") == (1, 10)
    assert desk.cluster.annotations("horizontalpodautoscalers", name) == {}
    assert desk.cluster.replicas("blue") == 2


def test_a_dry_run_lets_the_api_server_check_and_changes_nothing(desk: Desk) -> None:
    """Every change, by the server's own dry run."""
    code, said, _ = desk.run("blue-green", "--to", "green", "--dry-run")
    assert code == 0
    assert "   3. point Service voiceflow-inference from blue to green" in said
    assert "dry run: the API server takes 3 changes; nothing was changed" in said
    assert desk.cluster.changes() == []
    assert [one for one in desk.cluster.seen if one.endswith("?dryRun")] == [
        "patch deployments/scale?dryRun",
        "patch services?dryRun",
        "patch deployments/scale?dryRun",
    ]
    assert desk.cluster.selected() == "blue"
    assert desk.cluster.replicas("green") == 1
    desk.cluster.plan(Fault("patch services", status=403))
    code, _, wrong = desk.run("blue-green", "--to", "green", "--dry-run")
    assert (code, "CLUSTER_FORBIDDEN" in wrong) == (7, True)


def test_what_changes_in_other_respects_meanwhile_is_no_conflict(desk: Desk) -> None:
    """The write is refused with 409; it is read again, and is as it was planned from."""

    def touch() -> None:
        desk.cluster.change("services", SERVICE, sessionAffinity="None")

    desk.cluster.plan(Fault("patch services", Trouble.MEDDLE, times=2, act=touch))
    assert desk.run(*SWITCH)[0] == 0
    assert desk.cluster.objects["services", SERVICE]["spec"]["sessionAffinity"] == "None"
    assert desk.cluster.selected() == "green"


def test_what_somebody_else_has_changed_is_never_overwritten(desk: Desk) -> None:
    """The selector, between the look at it and the write: the command ends, with what stands."""

    def meddle() -> None:
        desk.cluster.change("services", SERVICE, selector={"voiceflow.dev/colour": None})

    desk.cluster.plan(Fault("patch services", Trouble.MEDDLE, act=meddle))
    code, _, wrong = desk.run(*SWITCH)
    assert code == 6
    assert "somebody has pointed Service voiceflow-inference to blue and green" in wrong
    assert "SELECTION_CHANGED" in wrong
    assert desk.cluster.selected() is None


def test_somebody_elses_scaling_is_never_overwritten(desk: Desk) -> None:
    """Where no autoscaler does it."""

    def meddle() -> None:
        desk.cluster.change("deployments", f"{SERVICE}-green", replicas=2)

    desk.cluster.plan(Fault("patch deployments/scale", Trouble.MEDDLE, act=meddle))
    code, _, wrong = desk.run(*SWITCH)
    assert (code, "REPLICAS_CHANGED" in wrong) == (6, True)
    assert desk.cluster.replicas("green") == 2


def test_an_object_that_never_holds_still_is_told(desk: Desk) -> None:
    """After five tries."""

    def touch() -> None:
        desk.cluster.change("services", SERVICE, sessionAffinity="None")

    desk.cluster.plan(Fault("patch services", Trouble.MEDDLE, times=None, act=touch))
    code, _, wrong = desk.run(*SWITCH)
    assert (code, "CLUSTER_OBJECT_CHANGED" in wrong) == (6, True)
    assert desk.cluster.seen.count("patch services") == 5


def test_a_failure_says_what_was_done_what_stands_and_how_to_go_back(desk: Desk) -> None:
    """And that command does."""
    desk.cluster.plan(Fault("patch services", status=403, times=1))
    code, _, wrong = desk.run(*SWITCH, "--namespace", NAMESPACE)
    assert code == 7
    told = wrong.splitlines()
    where = f" --namespace {NAMESPACE} --kubeconfig {desk.kubeconfig}"
    assert told[0] == (
        "stopped in step 3 of 8: point Service voiceflow-inference from blue to green"
    )
    assert told[1] == "done: steps 1 to 2"
    assert told[2].startswith("now: new connections go to blue; blue has 3 pods, 3 serving")
    assert told[3] == f"to go on: voiceflow rollout blue-green --to green{where}"
    assert told[4] == f"to go back: voiceflow rollout blue-green --to blue{where}"
    assert told[5].endswith("(CLUSTER_FORBIDDEN)")
    assert "planned: patch services (namespace speech)" in told[5]
    assert desk.run(*BACK)[0] == 0
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [3, 1]
    assert not any(pod.draining for pod in desk.cluster.side("blue"))


def test_the_way_back_leads_out_of_the_middle_of_a_switch(desk: Desk) -> None:
    """Blue's pods drain, with callers that do not hang up: they are taken into service again."""
    for pod in desk.cluster.side("blue"):
        pod.stuck = True
    code, _, wrong = desk.run(*SWITCH, "--empty-timeout", "0.2s")
    assert code == 4
    assert "blue is not empty after 0.2 s" in wrong
    assert "2 live streams and 0 recordings (DEADLINE_EXCEEDED)" in wrong
    assert all(pod.draining for pod in desk.cluster.side("blue"))
    assert desk.run(*BACK)[0] == 0
    assert desk.cluster.selected() == "blue"
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [3, 1]
    assert [pod.streams for pod in desk.cluster.side("blue")] == [2, 2, 2]
    assert not any(pod.draining for pod in desk.cluster.pods.values())


def test_a_switch_that_waited_too_long_goes_on_when_it_is_asked_for_again(desk: Desk) -> None:
    """From where it stopped."""
    for pod in desk.cluster.side("blue"):
        pod.stuck = True
    assert desk.run(*SWITCH, "--empty-timeout", "0.1s")[0] == 4
    _, said, _ = desk.run("status")
    assert "draining, left, not seen empty yet" in said
    desk.end_streams()
    assert desk.run(*SWITCH)[0] == 0
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [1, 3]


def test_pods_that_do_not_come_up_are_told_of_and_nothing_is_switched(desk: Desk) -> None:
    """With Kubernetes' own words."""

    def broken(pod: SimulatedPod) -> None:
        pod.waiting = "ImagePullBackOff"

    desk.cluster.on_pod = broken
    code, _, wrong = desk.run(*SWITCH, "--ready-timeout", "0.2s")
    assert code == 4
    assert "green does not serve after 0.2 s: 1 of 3 pods serve" in wrong
    assert "ImagePullBackOff" in wrong
    assert desk.cluster.selected() == "blue"


def test_a_pod_that_somebody_takes_back_ends_the_waiting(desk: Desk) -> None:
    """Streams would come without end."""
    pod = desk.cluster.side("blue")[0]
    pod.stuck = True

    def undone(pod: SimulatedPod) -> None:
        if pod.deadlines:
            pod.draining = False

    pod.on_asked = undone
    code, _, wrong = desk.run(*SWITCH)
    assert (code, f"{pod.name} takes streams again (DRAIN_UNDONE)" in wrong) == (1, True)


def test_a_pod_that_begins_anew_is_drained_as_well(desk: Desk) -> None:
    """It forgot that it was to drain, and nobody took it back."""
    pod = desk.cluster.side("blue")[0]
    pod.stuck = True

    def crashed(pod: SimulatedPod) -> None:
        if pod.deadlines:
            pod.begin_anew()
            pod.on_asked = lambda _: None
            pod.stuck = False

    pod.on_asked = crashed
    assert desk.run(*SWITCH)[0] == 0
    assert len(pod.deadlines) == 2


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault("get deployments", status=404), 3, "CLUSTER_OBJECT_NOT_FOUND"),
        (Fault("list pods", status=403), 7, "CLUSTER_FORBIDDEN"),
        (Fault("get services", status=500), 4, "CLUSTER_UNAVAILABLE"),
        (Fault("get services", status=429), 4, "CLUSTER_UNAVAILABLE"),
        (Fault("patch deployments/scale", status=500, times=None), 4, "CLUSTER_UNAVAILABLE"),
        (Fault("patch deployments/scale", status=422), 3, "CLUSTER_REFUSED"),
        (Fault("portforward pods", status=403, times=None), 7, "CLUSTER_FORBIDDEN"),
        (Fault("get services", Trouble.STALL), 4, "CLUSTER_UNREACHABLE"),
        (Fault("patch services", Trouble.STALL, times=None), 4, "CLUSTER_UNREACHABLE"),
    ],
    ids=lambda value: value.on.replace(" ", "-") if isinstance(value, Fault) else None,
)
def test_what_the_api_server_refuses_has_a_reason_and_an_exit_code(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: int, reason: str
) -> None:
    """And nothing is switched."""
    if fault.trouble is Trouble.STALL:
        monkeypatch.setattr(connection, "_TIMEOUT_SECONDS", (0.2, 0.2))
    desk.cluster.plan(fault)
    seen, _, wrong = desk.run(*SWITCH)
    assert (seen, reason in wrong) == (code, True)
    assert desk.cluster.selected() == "blue"


@pytest.mark.parametrize(
    "trouble", [Fault("patch services", times=3), Fault("patch services", Trouble.LOSE_REPLY)]
)
def test_an_api_server_that_was_away_for_a_moment_is_asked_again(
    desk: Desk, trouble: Fault
) -> None:
    """Also where the write was done and its reply lost: it is not done twice."""
    desk.cluster.plan(trouble, Fault("list pods", status=503, times=0))
    assert desk.run(*SWITCH)[0] == 0
    assert desk.cluster.selected() == "green"


def test_an_api_server_that_is_away_while_pods_are_waited_for_is_waited_for(desk: Desk) -> None:
    """As one is while it is upgraded."""
    away = Fault("list pods", status=503, times=3)
    desk.cluster.plan(
        Fault("patch deployments/scale", Trouble.MEDDLE, act=lambda: desk.cluster.plan(away))
    )
    code, said, _ = desk.run(*SWITCH)
    assert (code, "CLUSTER_UNAVAILABLE" in said) == (0, True)


def test_pods_whose_way_does_not_open_are_not_waited_for_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them answers: nothing is begun."""
    monkeypatch.setattr(pods, "_HANDSHAKE_SECONDS", 0.1)
    desk.cluster.plan(Fault("portforward pods", Trouble.STALL, times=None))
    code, _, wrong = desk.run(*SWITCH)
    assert (code, "CLUSTER_UNREACHABLE" in wrong) == (4, True)
    assert desk.cluster.changes() == []


def test_a_right_that_is_missing_is_told_in_the_api_servers_words(desk: Desk) -> None:
    """Not as a failed handshake."""
    desk.cluster.plan(Fault("portforward pods", status=403, times=None))
    code, _, wrong = desk.run(*SWITCH)
    assert code == 7
    assert wrong.endswith("the API server: planned: portforward pods (CLUSTER_FORBIDDEN)")
    assert desk.cluster.changes() == []


def test_a_cluster_that_is_not_there_is_told(desk: Desk) -> None:
    """Exit code 4."""
    with cluster() as gone:
        gone.kubeconfig(desk.kubeconfig)
    code, _, wrong = desk.run("status")
    assert (code, "CLUSTER_UNREACHABLE" in wrong) == (4, True)


def test_who_is_not_known_to_the_cluster_is_told(desk: Desk) -> None:
    """Exit code 7."""
    desk.cluster.kubeconfig(desk.kubeconfig, token="another")  # noqa: S106 - of nothing
    code, _, wrong = desk.run("status")
    assert (code, "Unauthorized" in wrong, "CLUSTER_UNAUTHENTICATED" in wrong) == (7, True, True)


def test_who_may_not_drain_pods_is_told_before_the_switch(desk: Desk) -> None:
    """The pods say who may; the cluster only opens the way."""
    desk.cluster.side("blue")[1].refuses = grpc.StatusCode.PERMISSION_DENIED
    code, _, wrong = desk.run(*SWITCH)
    assert code == 7
    assert wrong.startswith(f"voiceflow: {desk.cluster.side('blue')[1].name}: ")
    assert desk.cluster.changes() == []


def test_a_pod_that_does_not_answer_keeps_nobody_from_going_away_from_it(desk: Desk) -> None:
    """Everything new goes to green; then it is told of."""
    hangs = desk.cluster.side("blue")[0]
    hangs.refuses = grpc.StatusCode.UNAVAILABLE
    code, said, wrong = desk.run(*SWITCH)
    assert code == 4
    assert desk.cluster.selected() == "green"
    assert f"{hangs.name} does not answer" in said
    assert "stopped in step 4 of 8: tell blue's pods to drain" in wrong
    others = [pod for pod in desk.cluster.side("blue") if pod is not hangs]
    assert all(pod.draining for pod in others)


def test_a_share_goes_to_green_and_then_all_of_it_or_nothing(desk: Desk) -> None:
    """A canary of the software; both sides beside each other meanwhile."""
    code, said, _ = desk.run("canary", "--to", "green", "--percent", "40", "--yes")
    assert code == 0
    assert desk.cluster.selected() is None
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [3, 2]
    assert not any(pod.draining for pod in desk.cluster.pods.values())
    code, said, _ = desk.run("status")
    rows = [line.split() for line in said.splitlines()]
    assert rows[0][-3:] == ["blue", "and", "green"]
    assert rows[2] == ["blue", "3", "3", "6", "6", "0.25", "1.0.0", "voiceflow:blue"]
    assert rows[3] == ["green", "2", "2", "0", "4", "0.25", "1.1.0", "voiceflow:green"]
    assert desk.run("canary", "--to", "green", "--percent", "40", "--yes")[1].endswith(
        "nothing to do: it is so\n"
    )
    assert desk.run(*BACK)[0] == 0
    assert desk.cluster.selected() == "blue"
    assert [desk.cluster.replicas(one) for one in ("blue", "green")] == [3, 1]
    assert desk.run("canary", "--to", "green", "--pods", "2", "--yes")[0] == 0
    assert desk.run(*SWITCH)[0] == 0
    assert desk.cluster.selected() == "green"


def test_programs_get_lines_of_json(desk: Desk) -> None:
    """One for everything that happens."""
    code, said, _ = desk.run(*SWITCH, "--json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines()]
    events = [line["event"] for line in lines]
    assert (code, events[:3], events[-1]) == (0, ["state", "plan", "begins"], "ended")
    assert lines[0]["blue"]["pods"][0]["serving"]["streams"] == 2
    assert [step["step"] for step in lines[1]["steps"]][:3] == ["Resize", "AwaitServing", "Select"]
    assert events.count("done") == len(lines[1]["steps"])
    code, said, _ = desk.run("status", "--json")
    assert json.loads(said)["selection"]["colour"] == "green"


@pytest.mark.parametrize(
    "arguments",
    [
        ("blue-green",),
        ("blue-green", "--to", "red"),
        ("blue-green", "--to", "green"),
        ("blue-green", "--to", "green", "--json"),
        ("canary", "--to", "green", "--percent", "100", "--yes"),
        ("canary", "--to", "green", "--percent", "0", "--yes"),
    ],
)
def test_wrong_usage_changes_nothing(desk: Desk, arguments: tuple[str, ...]) -> None:
    """Exit code 2; so it is where nobody can be asked."""
    assert desk.run(*arguments)[0] == 2
    assert desk.cluster.changes() == []


def test_no_kubeconfig_is_no_cluster(desk: Desk, tmp_path: Path) -> None:
    """Exit code 3, also for a context that is not in it."""
    code, _, wrong = desk.run("status", "--context", "other")
    assert (code, "KUBECONFIG_INVALID" in wrong) == (3, True)
    (tmp_path / "kubeconfig").write_text("nothing")
    code, _, wrong = desk.run("status")
    assert (code, "KUBECONFIG_INVALID" in wrong) == (3, True)


def test_without_the_extra_it_says_how_to_get_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 5."""
    for name in list(sys.modules):
        if name.startswith("voiceflow.rollout.adapter"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    code, _, wrong = desk.run("status")
    assert (code, "pip install 'voiceflow[kubernetes]'" in wrong) == (5, True)


@pytest.mark.usefixtures("heeds_interrupts")
async def test_ctrl_c_says_where_it_stopped(desk: Desk) -> None:
    """In the middle of waiting; exit code 130, and nothing is undone."""
    for pod in desk.cluster.side("blue"):
        pod.stuck = True
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from voiceflow.cli import main; main()", "rollout", *SWITCH),
        *("--kubeconfig", str(desk.kubeconfig)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if b"2 live streams" in line:
            break
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, wrong = await process.communicate()
    assert process.returncode == 130
    told = wrong.decode().splitlines()
    assert told[0] == "stopped in step 5 of 8: wait until blue has no live streams"
    assert told[-1] == "voiceflow: interrupted"
    assert "to go back: voiceflow rollout blue-green --to blue" in wrong.decode()
    assert desk.cluster.selected() == "green"

"""What commands print, and how they end: against the real registry, with gates as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.publishing import Package, ScriptedGates, package
from tests.fakes.registry import running
from tests.unit.cli.models.running import Outcome, run
from voiceflow.catalog.gates import Finding, Gate
from voiceflow.cli.commands import error_lines, exit_code
from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidInput,
    NotAllowedNow,
    NotServed,
    OutOfRange,
    PackageInvalid,
    TooLarge,
    Unavailable,
    Violation,
    VoiceFlowError,
)


class Desk:
    """A publisher's folder, and a registry.

    Attributes:
        gates: Of the registry.
    """

    def __init__(self, folder: Path, address: str, gates: ScriptedGates) -> None:
        self.folder = folder
        self.gates = gates
        self._address = address

    async def run(self, *arguments: object) -> Outcome:
        """A command."""
        return await asyncio.to_thread(run, *arguments, "--registry", self._address)

    async def done(self, *arguments: object) -> Outcome:
        """A command that ends well."""
        outcome = await self.run(*arguments)
        assert outcome.code == 0, outcome.err
        return outcome

    async def data(self, *arguments: object) -> Any:
        """What a command prints as JSON."""
        return (await self.done(*arguments, "--json")).json

    def write(self, what: Package) -> Path:
        """A package in a folder."""
        folder = self.folder / str(what.name.version)
        folder.mkdir()
        (folder / "manifest.json").write_bytes(what.manifest)
        for name, content in what.files.items():
            (folder / name).write_bytes(content)
        return folder

    async def publish(self, *versions: str) -> None:
        """Publishes versions that have passed what a channel demands."""
        for version in versions:
            what = package(version, weights=version.encode())
            await self.done("publish", self.write(what))
            await self.done("validate", f"tones@{version}", "--channel", "stable")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A publisher and a registry that holds nothing."""
    gates = ScriptedGates()
    demanded = "manifest,graph,contract,behaviour"
    async with running(gates=gates, demanded_gates=demanded) as (app, _):
        yield Desk(tmp_path, app.server.address, gates)


FINDING = Finding(
    rule_id="behaviour.not-finite",
    subject="speech",
    seen="3 of 12 numbers",
    allowed="0",
    message="An output holds NaN. Guard the logarithm.",
)


async def test_publishing_tells_the_version_and_that_it_was_there_before(desk: Desk) -> None:
    """The same bytes again are no error."""
    folder = desk.write(package())
    assert (
        "tones@1.0.0 can be published"
        in (await desk.done("publish", folder, "--validate-only")).out
    )
    first = await desk.data("publish", folder)
    assert first["version"]["name"] == "models/tones/versions/1.0.0"
    assert first["version"]["manifest"]["licence"] == "Apache-2.0"
    assert (first["already_published"], first["promotion"]) == (False, None)
    assert [gate["gate"] for gate in first["report"]["gates"]] == ["manifest", "graph", "contract"]
    assert "was published before" in (await desk.done("publish", folder)).out


async def test_other_bytes_under_a_published_name_end_with_6(desk: Desk) -> None:
    """Nothing is replaced."""
    await desk.publish("1.0.0")
    (desk.folder / "other").mkdir()
    other = Desk(desk.folder / "other", desk._address, desk.gates).write(package(weights=b"other"))
    outcome = await desk.run("publish", other)
    assert outcome.code == 6
    assert "VERSION_EXISTS" in outcome.err


async def test_a_refused_publish_prints_each_rule(desk: Desk) -> None:
    """Rule, subject, what was seen, what is allowed, what to change; exit code 1."""
    finding = FINDING.model_copy(update={"rule_id": "graph.domain"})
    desk.gates.failing = {Gate.GRAPH: finding}
    outcome = await desk.run("publish", desk.write(package()))
    assert outcome.code == 1
    first, second = outcome.err.splitlines()[-2:]
    assert first.endswith("(GATES_NOT_PASSED)")
    for part in ("graph.domain", finding.subject, finding.seen, finding.allowed, finding.message):
        assert part in second


async def test_publishing_can_go_all_the_way(desk: Desk) -> None:
    """Validated under the channel's policy, and promoted; again, it finds that done."""
    folder = desk.write(package())
    first, again = [
        await desk.data("publish", folder, "--promote", "stable", "--reason", "ready")
        for _ in range(2)
    ]
    assert first["promotion"]["sequence"] == 1
    assert first["promotion"]["reason"] == "ready"
    assert first["report"]["channel"] == "models/tones/channels/stable"
    assert again["already_published"]
    assert again["promotion"] == first["promotion"]


async def test_publishing_stops_before_the_promotion_where_a_gate_fails(desk: Desk) -> None:
    """The version stands; the channel does not."""
    desk.gates.failing = {Gate.BEHAVIOUR: FINDING}
    outcome = await desk.run("publish", desk.write(package()), "--promote", "stable")
    assert outcome.code == 1
    assert "tones@1.0.0 is published, not promoted" in outcome.err
    assert (await desk.data("list", "tones"))["channels"] == []


async def test_a_card_that_is_not_filled_in_is_not_published(desk: Desk) -> None:
    """What is to be filled in nobody else can know."""
    folder = desk.write(package())
    (folder / "README.md").write_text("# Tones\n\nTO BE FILLED IN: what it is for.\n")
    outcome = await desk.run("publish", folder)
    assert outcome.code == 3
    assert "CARD_UNFINISHED" in outcome.err
    assert (await desk.data("list"))["models"] == []


async def test_gates_are_told_as_they_go_and_fail_with_1(desk: Desk) -> None:
    """For people each result and finding; as JSON a line for each thing, the report last."""
    await desk.done("publish", desk.write(package()))
    desk.gates.failing = {Gate.BEHAVIOUR: FINDING}
    shown = await desk.run("validate", "tones@1.0.0", "--gates", "behaviour,manifest")
    assert shown.code == 1
    assert [line.split()[:2] for line in shown.out.splitlines()[:2]] == [
        ["passed", "manifest"],
        ["failed", "behaviour"],
    ]
    for part in (FINDING.rule_id, FINDING.seen, FINDING.message):
        assert part in shown.out
    told = await desk.run("validate", "tones@1.0.0", "--gates", "behaviour", "--json")
    assert told.code == 1
    assert [next(iter(line)) for line in told.json_lines] == [
        *("gate_started", "gate_result", "report")
    ]
    assert told.json_lines[-1]["report"]["passed"] is False


async def test_a_promotion_makes_a_rollout_as_it_was_asked_for(desk: Desk) -> None:
    """A version on trial stands beside the primary; a primary alone ends all trials."""
    await desk.publish("1.0.0", "1.1.0", "1.2.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")

    async def serves(*arguments: object) -> Any:
        return (await desk.data("promote", *arguments))["channel"]["rollout"]

    canary = await serves("tones@1.1.0", "--channel", "stable", "--canary", "5")
    assert canary["primary"]["version"].endswith("/1.0.0")
    assert canary["canary"]["percentage"] == 5.0
    both = await serves("tones@1.2.0", "--channel", "tones/stable", "--shadow")
    assert both["canary"] == canary["canary"]
    assert both["shadow"]["percentage"] == 100.0
    alone = await serves("tones@1.1.0", "--channel", "stable")
    assert (alone["canary"], alone["shadow"]) == (None, None)


async def test_a_canary_needs_a_primary(desk: Desk) -> None:
    """The message says what to do first."""
    await desk.publish("1.0.0")
    outcome = await desk.run("promote", "tones@1.0.0", "--channel", "stable", "--canary", "5")
    assert outcome.code == 6
    assert "promote a primary first" in outcome.err


async def test_a_stale_etag_ends_with_6(desk: Desk) -> None:
    """What the caller has seen is not what is."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    etag = (await desk.data("show", "tones/stable"))["channel"]["etag"]
    await desk.done("promote", "tones@1.1.0", "--channel", "stable", "--etag", etag)
    outcome = await desk.run("rollback", "tones/stable", "--etag", etag)
    assert outcome.code == 6
    assert "ETAG_STALE" in outcome.err


async def test_one_request_id_makes_one_promotion(desk: Desk) -> None:
    """A job that is run again does nothing twice."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    request = ("--request-id", "7f0d6c2e-6a46-4a8e-9b53-6f1f1f0a3f10")
    etag = (await desk.data("show", "tones/stable"))["channel"]["etag"]
    wish = ("promote", "tones@1.1.0", "--channel", "stable", "--etag", etag, *request)
    first, again = await desk.data(*wish), await desk.data(*wish)
    assert first["promotion"] == again["promotion"]
    assert len((await desk.data("history", "tones/stable"))["promotions"]) == 2


async def test_checking_alone_changes_nothing(desk: Desk) -> None:
    """Neither promotion, rollback, yank nor policy."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    await desk.done("promote", "tones@1.1.0", "--channel", "stable")
    before = await desk.data("show", "tones/stable")
    (desk.folder / "policy.json").write_text(json.dumps({"allow_prereleases": True}))
    for arguments in (
        ("rollback", "tones/stable"),
        ("promote", "tones@1.0.0", "--channel", "beta"),
        ("yank", "tones@1.0.0", "--reason", "r"),
        ("policy", "tones/stable", "--set", desk.folder / "policy.json"),
    ):
        await desk.done(*arguments, "--validate-only")
    assert await desk.data("show", "tones/stable") == before
    assert (await desk.data("show", "tones@1.0.0"))["version"]["state"] == "published"
    assert (await desk.data("policy", "tones/stable"))["policy"]["sequence"] == 0


async def test_a_history_tells_what_served_when(desk: Desk) -> None:
    """Newest first; narrowed by version and number; at a time, one or none."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    await desk.done("promote", "tones@1.1.0", "--channel", "stable")
    await desk.done("rollback", "tones/stable", "--reason", "flicker")

    async def sequences(*arguments: object) -> list[int]:
        found = await desk.data("history", "tones/stable", *arguments)
        return [one["sequence"] for one in found["promotions"]]

    assert await sequences() == [3, 2, 1]
    assert await sequences("--limit", 2) == [3, 2]
    assert await sequences("--version", "tones@1.1.0") == [2]
    assert await sequences("--at", "2020-01-01") == []
    assert await sequences("--at", "1d") == [3]
    shown = (await desk.done("history", "tones/stable")).out
    assert "rollback to 1" in shown
    assert "flicker" in shown


async def test_a_watch_tells_each_promotion(desk: Desk) -> None:
    """From the first on, in a line or as JSON with the policy before it."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    await desk.done("promote", "tones@1.1.0", "--channel", "stable")
    told = await desk.done("watch", "tones/stable", "--after", 0, "--count", 2)
    assert [line.split()[2:] for line in told.out.splitlines()] == [
        ["tones/stable", "1", "promote", "1.0.0"],
        ["tones/stable", "2", "promote", "1.1.0"],
    ]
    lines = (await desk.done("watch", "tones/stable", "--count", 1, "--json")).json_lines
    assert {next(iter(line)) for line in lines} >= {"policy", "promotion"}


async def test_a_yank_names_the_channels_that_go_on(desk: Desk) -> None:
    """With what to do; a version in use is not deleted."""
    await desk.publish("1.0.0")
    await desk.done("promote", "tones@1.0.0", "--channel", "stable")
    outcome = await desk.done("yank", "tones@1.0.0", "--reason", "wrong weights")
    assert "voiceflow models rollback tones/stable" in outcome.err
    assert "wrong weights" in (await desk.done("show", "tones@1.0.0")).out
    refused = await desk.run("delete", "tones@1.0.0")
    assert refused.code == 6
    assert "VERSION_IN_USE" in refused.err


async def test_a_deleted_version_is_listed_only_if_asked_for(desk: Desk) -> None:
    """Its record stays."""
    await desk.publish("1.0.0", "1.1.0")
    await desk.done("yank", "tones@1.0.0", "--reason", "old")
    await desk.done("delete", "tones@1.0.0")

    async def names(*arguments: object) -> list[str]:
        found = await desk.data("list", "tones", *arguments)
        return [one["name"].rpartition("/")[2] for one in found["versions"]]

    assert await names() == ["1.1.0"]
    assert await names("--all") == ["1.1.0", "1.0.0"]
    assert await names("--range", ">1.1.0") == []


async def test_a_policy_is_changed_field_by_field(desk: Desk) -> None:
    """What a file does not state stays; what is read as JSON can be set again."""
    path = desk.folder / "policy.yaml"
    path.write_text("allow_prereleases: true\ncost_budget: {model_size_bytes: 1000}\n")
    first = (await desk.data("policy", "tones/stable", "--set", path))["policy"]
    path.write_text("validation_valid_for_seconds: 3600\nallow_prereleases: false\n")
    second = (await desk.data("policy", "tones/stable", "--set", path))["policy"]
    assert (first["allow_prereleases"], second["allow_prereleases"]) == (True, False)
    assert second["cost_budget"]["model_size_bytes"] == 1000
    assert second["validation_valid_for_seconds"] == 3600.0
    assert second["demanded_gates"] == first["demanded_gates"]
    saved = desk.folder / "saved.json"
    saved.write_text((await desk.done("policy", "tones/stable", "--json")).out)
    again = (await desk.data("policy", "tones/stable", "--set", saved))["policy"]
    assert again["validation_valid_for_seconds"] == 3600.0
    assert "model_size_bytes 1000" in (await desk.done("policy", "tones/stable")).out
    other = await desk.run("policy", "tones/beta", "--set", saved)
    assert other.code == 3
    assert "allowed is models/tones/channels/beta/policy" in other.err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("promotors: []", "promotors"),
        ("demanded_gates: [speed]", "demanded_gates"),
        ("3", "table"),
        ("{}", "states nothing; allowed are promoters"),
        ("cost_budget: {call_p99_seconds: 1.0e+300}", "cost_budget.call_p99_seconds"),
        ("cost_budget: {batch_p99_seconds: .inf}", "cost_budget.batch_p99_seconds"),
        ("accuracy_budget: {der_percent: .inf}", "accuracy_budget.der_percent"),
        ("validation_valid_for_seconds: 1.0e+300", "validation_valid_for_seconds"),
        ("revert_rules: {hang_after_seconds: 1.0e+300}", "revert_rules.hang_after_seconds"),
    ],
)
async def test_a_policy_that_cannot_be_set_says_why(desk: Desk, text: str, word: str) -> None:
    """Before the registry is asked to."""
    path = desk.folder / "policy.yaml"
    path.write_text(text)
    outcome = await desk.run("policy", "tones/stable", "--set", path)
    assert outcome.code == 3
    assert word in outcome.err


async def test_a_download_is_a_package(desk: Desk) -> None:
    """It publishes as what it is."""
    await desk.publish("1.0.0")
    target = desk.folder / "fetched"
    assert (await desk.data("download", "tones@1.0.0", "--out", target)) == {"folder": str(target)}
    assert (await desk.data("publish", target))["already_published"]


async def test_what_is_not_there_ends_with_3(desk: Desk) -> None:
    """With its reason."""
    for arguments in (("show", "tones@9.0.0"), ("show", "tones/none"), ("list", "none")):
        outcome = await desk.run(*arguments)
        assert outcome.code == 3
        assert "_NOT_FOUND" in outcome.err


async def test_an_empty_registry_is_listed(desk: Desk) -> None:
    """Without tables of nothing."""
    assert (await desk.done("list")).out == "no models yet\n"
    assert (await desk.done("pods")).out == "no pods\n"
    assert "0 objects" in (await desk.done("collect-garbage")).out


def test_a_registry_that_is_not_there_is_one_line_and_4() -> None:
    """It says which address was asked."""
    outcome = run("list", "--registry", "127.0.0.1:1")
    assert outcome.code == 4
    (line,) = outcome.err.splitlines()
    assert "127.0.0.1:1" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "Tones"],
        ["show", "tones@1"],
        ["promote", "tones@1.0.0"],
        ["promote", "tones@1.0.0", "--channel", "No!"],
        ["promote", "tones@1.0.0", "--channel", "a", "--canary", "5", "--shadow", "5"],
        ["promote", "tones@1.0.0", "--channel", "a", "--expires", "soon"],
        ["history", "tones/stable", "--at", "noon"],
        ["yank", "tones@1.0.0"],
        ["validate"],
        ["validate", "tones@1.0.0", "--local", "."],
        ["validate", "tones@1.0.0", "--baseline", "."],
        ["validate", "--local", ".", "--channel", "stable"],
        ["validate", "tones@1.0.0", "--gates", "speed"],
        ["validate", "tones"],
        ["publish", ".", "--promote", "stable", "--validate-only"],
        ["watch"],
        ["rollback", "tones/stable", "--to", "0"],
        ["rollback", "tones/stable", "--to", str(2**63)],
        ["watch", "tones/stable", "--after", str(2**63)],
        ["history", "tones/stable", "--at", "9999-12-31T23:59:59-12:00"],
        ["history", "tones/stable", "--at", "0001-01-01T00:00:00+12:00"],
        ["yank", "tones@1.0.0", "--reason", "\udcff"],
        ["promote", "tones@1.0.0", "--channel", "a", "--canary", "nan"],
        ["promote", "tones@1.0.0", "--channel", "a", "--canary", "1e400"],
        ["collect-garbage", "--grace-hours", "1e300"],
        ["list", "--registry", ""],
    ],
    ids=lambda arguments: ascii(" ".join(arguments)),
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    """Before anything is read or connected."""
    assert run(*arguments).code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotAllowedNow("", reason="GATES_NOT_PASSED"), 1),
        (NotAllowedNow("", reason="BUMP_TOO_SMALL"), 1),
        (VoiceFlowError("", reason="FOLDER_NOT_WRITABLE"), 1),
        (PackageInvalid("", reason="R"), 3),
        (InvalidInput("", reason="R"), 3),
        (OutOfRange("", reason="R"), 3),
        (TooLarge("", reason="R"), 3),
        (Unavailable("", reason="R"), 4),
        (VoiceFlowError("", reason="DEADLINE_EXCEEDED"), 4),
        (NotServed("", reason="EXTRA_MISSING"), 5),
        (NotAllowedNow("", reason="VERSION_YANKED"), 6),
        (AlreadyExists("", reason="R"), 6),
        (Conflict("", reason="ETAG_STALE"), 6),
        (Forbidden("", reason="POLICY_FORBIDS"), 7),
    ],
    ids=lambda value: value.reason if isinstance(value, VoiceFlowError) else "",
)
def test_exit_codes_are_those_of_the_page(error: VoiceFlowError, code: int) -> None:
    """A job can tell a failed gate from a registry that is away."""
    assert exit_code(error) == code


def test_each_thing_in_the_way_has_a_line() -> None:
    """The message in front of them is not said twice."""
    violations = [Violation("a.b", "x", "seen 1"), Violation("c.d", "y", "seen 2")]
    error = NotAllowedNow("refused: all of it", reason="R", violations=violations)
    assert error_lines(error) == ["voiceflow: refused (R)", "  a.b  x: seen 1", "  c.d  y: seen 2"]
    assert error_lines(Conflict("stale", reason="E")) == ["voiceflow: stale (E)"]

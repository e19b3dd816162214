"""Publishing and promoting on the command line to a registry that takes signed things alone."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fakes import trust
from tests.fakes.publishing import Package, package
from tests.fakes.trusted_registry import ONE, THREE, TWO, key_file, place, root
from voiceflow.catalog.channels import PromotionKind, Rollout, VersionPin
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError
from voiceflow.trust.authority import check_promotion
from voiceflow.trust.statements import Statement
from voiceflow_registry.channels import promotion


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """A machine with keys, and a registry that it can reach."""

    folder: Path
    address: str

    def key(self, name: str) -> Path:
        """A key of a name as a file."""
        path = self.folder / f"{name}.pem"
        return path if path.exists() else key_file(self.folder, name)

    def package(self, what: Package) -> Path:
        """A package as a folder."""
        folder = self.folder / f"tones-{what.name.version}"
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_bytes(what.manifest)
        for name, content in what.files.items():
            (folder / name).write_bytes(content)
        return folder

    async def run(self, *arguments: object) -> Outcome:
        """A command with the registry's address."""
        return await self.offline(*arguments, "--registry", self.address)

    async def offline(self, *arguments: object) -> Outcome:
        """A command that knows no registry."""
        result = await asyncio.to_thread(CliRunner().invoke, commands, [*map(str, arguments)])
        error = result.exception
        if isinstance(error, VoiceFlowError):
            return Outcome(exit_code(error), result.stdout, "\n".join(error_lines(error)))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Outcome(result.exit_code, result.stdout, result.stderr)

    async def done(self, *arguments: object) -> Outcome:
        """A command that ends well."""
        outcome = await self.run(*arguments)
        assert outcome.code == 0, outcome
        return outcome

    async def refused(self, *arguments: object) -> tuple[int, str]:
        """How a command ends that does not: its exit code and the error's reason."""
        outcome = await self.run(*arguments)
        return outcome.code, outcome.err.rpartition("(")[2].rstrip(")\n")

    async def newest(self) -> Any:
        """The newest promotion of stable."""
        listed = await self.done("models", "history", "tones/stable", "--limit", "1", "--json")
        return json.loads(listed.out)["promotions"][0]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """With an empty registry."""
    async with place(tmp_path) as where:
        yield Desk(tmp_path, where.app.server.address)


@pytest.fixture
async def busy(desk: Desk) -> Desk:
    """With three versions, the first of which was promoted."""
    for what in (ONE, TWO, THREE):
        folder = desk.package(what)
        await desk.done("models", "publish", folder, "--signing-key", desk.key("publisher"))
    await desk.done(
        *("models", "promote", "tones@1.0.0", "--channel", "stable"),
        *("--signing-key", desk.key("promoter")),
    )
    return desk


async def test_a_package_is_signed_beforehand_and_published_without_a_key(desk: Desk) -> None:
    """Its files must be what it states; what was signed is what is published."""
    folder = desk.package(ONE)
    assert await desk.refused("models", "publish", folder) == (7, "SIGNATURE_MISSING")
    card = folder / "README.md"
    card.write_bytes(b"# Another card\n")
    sign = ("models", "sign", folder, "--key", desk.key("publisher"))
    assert (await desk.offline(*sign)).code == 3
    assert not (folder / "manifest.dsse.json").exists()
    card.write_bytes(ONE.files["README.md"])
    signed = await desk.offline(*sign, "--json")
    assert json.loads(signed.out)["key"] == trust.key("publisher").key_id
    assert "tones@1.0.0" in (await desk.offline(*sign)).out
    await desk.done("models", "publish", folder)
    fetched = desk.folder / "fetched"
    await desk.done("models", "download", "tones@1.0.0", "--out", fetched)
    for file in ("manifest.json", "manifest.dsse.json"):
        assert (fetched / file).read_bytes() == (folder / file).read_bytes()


async def test_a_package_without_sizes_is_not_signed(desk: Desk) -> None:
    """Nobody would take it."""
    folder = desk.package(package("1.0.0", sizes={}))
    outcome = await desk.offline("models", "sign", folder, "--key", desk.key("publisher"))
    assert (outcome.code, "SIZE_UNSIGNED" in outcome.err) == (7, True)


async def test_a_signature_from_elsewhere_is_named_or_lies_beside(desk: Desk) -> None:
    """That of another package is not even sent."""
    one, two = desk.package(ONE), desk.package(TWO)
    for folder in (one, two):
        await desk.offline("models", "sign", folder, "--key", desk.key("publisher"))
    elsewhere = desk.folder / "one.dsse.json"
    (one / "manifest.dsse.json").rename(elsewhere)
    for what in (("--signature", elsewhere), ("--signature", desk.folder / "none")):
        assert (await desk.run("models", "publish", two, *what)).code in {3, 7}
    await desk.done("models", "publish", one, "--signature", elsewhere)


async def test_one_command_publishes_and_promotes_with_two_keys(desk: Desk) -> None:
    """A key has one office: the publisher's does not promote."""
    folder, publisher = desk.package(ONE), ("--signing-key", desk.key("publisher"))
    publish = ("models", "publish", folder, *publisher, "--promote", "stable")
    assert await desk.refused(*publish) == (7, "SIGNATURE_MISSING")
    wrong = ("--promotion-key", desk.key("publisher"))
    assert await desk.refused(*publish, *wrong) == (7, "KEY_NOT_ALLOWED")
    await desk.done(*publish, "--promotion-key", desk.key("promoter"))
    assert (await desk.newest())["sequence"] == 1


@pytest.mark.parametrize("more", [(), ("--canary", "12.5"), ("--shadow",)])
async def test_a_promotion_is_signed_where_its_key_is(busy: Desk, more: tuple[str, ...]) -> None:
    """The statement goes there as a file, and the signature comes back; the rest is said again."""
    promote = ("models", "promote", "tones@1.1.0", "--channel", "stable", *more)
    statement, signature = busy.folder / "promotion.json", busy.folder / "promotion.dsse.json"
    looked_at = await busy.done(
        *(*promote, "--expires", "30d", "--validate-only", "--statement-out", statement)
    )
    assert "trust sign" in looked_at.err
    assert (await busy.newest())["sequence"] == 1
    told = await busy.offline("trust", "sign", "--yes", statement, "--key", busy.key("promoter"))
    assert told.code == 0, told
    assert {"--canary": " at 12.5 %", "--shadow": " of 100 %"}.get(
        "".join(more[:1]), ""
    ) in told.out
    await busy.done(*promote, "--signature", signature)
    made = await busy.newest()
    said = Statement.from_bytes(statement.read_bytes())
    assert (made["sequence"], made["expire_time"] is not None) == (2, True)
    assert (
        check_promotion(
            root(), statement=said.to_bytes(), signature=_signature(signature), new=True
        ).rollout.model_dump(mode="json")
        == made["rollout"]
    )


async def test_a_signature_is_for_what_was_said(busy: Desk) -> None:
    """Another version, another share, another channel, another kind, a channel that went on."""
    promote = ("models", "promote", "tones@1.1.0", "--channel", "stable")
    statement, signature = busy.folder / "promotion.json", busy.folder / "promotion.dsse.json"
    await busy.done(*promote, "--validate-only", "--statement-out", statement)
    assert stat.S_IMODE(statement.stat().st_mode) == 0o644
    await busy.offline("trust", "sign", "--yes", statement, "--key", busy.key("promoter"))
    back = ("--signature", signature)
    for other in (
        ("models", "promote", "tones@1.2.0", "--channel", "stable"),
        (*promote, "--canary", "10"),
        ("models", "promote", "tones@1.1.0", "--channel", "blue"),
        ("models", "rollback", "tones/stable"),
    ):
        assert await busy.refused(*other, *back) == (7, "STATEMENT_MISMATCH"), other
    await busy.done(
        *("models", "promote", "tones@1.2.0", "--channel", "stable"),
        *("--signing-key", busy.key("promoter")),
    )
    assert await busy.refused(*promote, *back) == (6, "ETAG_STALE")
    assert (await busy.newest())["sequence"] == 2


async def test_a_rollback_is_signed_here_or_elsewhere(busy: Desk) -> None:
    """With the same options as a promotion."""
    key = ("--signing-key", busy.key("promoter"))
    await busy.done("models", "promote", "tones@1.1.0", "--channel", "stable", *key)
    rollback = ("models", "rollback", "tones/stable")
    assert await busy.refused(*rollback) == (7, "SIGNATURE_MISSING")
    await busy.done(*rollback, *key)
    assert (await busy.newest())["kind"] == PromotionKind.ROLLBACK
    statement, signature = busy.folder / "back.json", busy.folder / "back.dsse.json"
    there = (*rollback, "--to", "2")
    await busy.done(*there, "--validate-only", "--statement-out", statement)
    await busy.offline("trust", "sign", "--yes", statement, "--key", busy.key("promoter"))
    await busy.done(*there, "--signature", signature)
    made = await busy.newest()
    assert made["sequence"] == 4
    assert made["rollout"]["primary"]["version"] == str(TWO.name)


async def test_a_canary_stands_beside_what_was_signed(tmp_path: Path) -> None:
    """Whatever the registry tells of the channel: nobody signs its primary unseen."""
    async with place(tmp_path) as where:
        desk = Desk(tmp_path, where.app.server.address)
        key = ("--signing-key", desk.key("promoter"))
        for what in (ONE, TWO, THREE):
            folder = desk.package(what)
            await desk.done("models", "publish", folder, "--signing-key", desk.key("publisher"))
        promote = ("models", "promote", "--channel", "stable")
        await desk.done(*promote, "tones@1.1.0", *key)

        channels = where.app.acts.channels
        present, history = channels.get, channels.history
        lie = {"rollout": Rollout(primary=VersionPin(version=str(ONE.name)))}
        with pytest.MonkeyPatch.context() as lying:
            lying.setattr(channels, "get", lambda name: present(name).model_copy(update=lie))
            lying.setattr(
                channels, "history", lambda name, **page: _told(history(name, **page), lie)
            )
            lying.setattr(promotion, "_check_direction", lambda *_: None)
            await desk.done(*promote, "tones@1.2.0", "--canary", "5", *key)
        rollout = (await desk.newest())["rollout"]
    assert rollout["primary"]["version"] == str(TWO.name)
    assert rollout["canary"]["pin"]["version"] == str(THREE.name)


async def test_a_trust_root_says_who_must_have_signed_what_is_followed(busy: Desk) -> None:
    """By a file of one's own, which the registry does not choose."""
    key = ("--signing-key", busy.key("promoter"))
    mine = busy.folder / "mine.json"
    mine.write_bytes(trust.trust_roots(trust.trust_root(promoters=[trust.registry()])).to_json())
    promote = ("models", "promote", "tones@1.1.0", "--channel", "stable", *key)
    rollback = ("models", "rollback", "tones/stable", *key)
    for command in (promote, (*promote, "--canary", "5"), rollback):
        refused = await busy.refused(*command, "--trust-root", mine)
        assert refused == (7, "SIGNATURE_INVALID"), command
    assert (await busy.newest())["sequence"] == 1
    await busy.done(*promote, "--trust-root", busy.folder / "trust-root.json")
    await busy.done(*rollback, "--trust-root", busy.folder / "trust-root.json")


@pytest.mark.parametrize(
    "options",
    [
        ("--trust-root", "a"),
        ("--signing-key", "a", "--signature", "b"),
        ("--password-file", "a"),
        ("--statement-out", "a"),
        ("--signature", "a", "--expires", "30d"),
    ],
)
async def test_options_that_contradict_each_other_are_wrong_usage(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Before anything is read or asked."""
    desk = Desk(tmp_path, "127.0.0.1:1")
    promote = ("models", "promote", "tones@1.0.0", "--channel", "stable")
    assert (await desk.run(*promote, *options)).code == 2


def _told(page: Any, lie: dict[str, Rollout]) -> Any:
    return replace(page, items=tuple(one.model_copy(update=lie) for one in page.items))


def _signature(path: Path) -> Any:
    made = trust.signed_statement(b"{}")
    return made.model_copy(update={"content": path.read_bytes()})

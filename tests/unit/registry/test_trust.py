"""The registry's trust root and key: read from files, followed, and never taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import trust
from tests.fakes.metrics import counted
from tests.fakes.publishing import Clock, package
from tests.fakes.trusted_registry import key_file
from voiceflow.errors import InvalidInput, Untrusted
from voiceflow.trust.root import TrustRoot
from voiceflow_registry.trust import Trust, open_trust

ALARMS = "voiceflow.trust.alarms"
EXPIRED = {"reason": "ROOT_EXPIRED"}
START = datetime(2026, 1, 1, tzinfo=UTC)


class Place:
    """A trust root's file, and a registry's clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "trust-root.json"
        self.clock = Clock(START)

    def write(self, *versions: TrustRoot) -> None:
        """Puts a trust root in place."""
        self.path.write_bytes(trust.trust_roots(*versions).to_json())

    def open(self, key: str | None = "registry") -> Trust:
        """Opens it, with a key of the registry's own."""
        path = None if key is None else key_file(self.folder, key)
        return open_trust(self.path, path, clock=self.clock)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """With the usual trust root."""
    made = Place(tmp_path)
    made.write(trust.trust_root())
    return made


def asked(what: Trust) -> None:
    """Asks it something."""
    made = package()
    what.check_new_version(made.name, made.manifest, trust.signed_manifest(made.manifest))


def reload(what: Trust) -> list[bool]:
    """Looks at its files, as a server does; which of them have a new value."""
    return [source.check() for source in what.sources]


def test_an_expired_trust_root_holds_on_with_an_alarm(place: Place) -> None:
    """It is raised once, and cleared by a version that has not expired."""
    first = trust.trust_root(expire_time=START + timedelta(days=30))
    place.write(first)
    before = counted(ALARMS, **EXPIRED)
    opened = place.open()
    asked(opened)
    assert counted(ALARMS, **EXPIRED) == before
    place.clock.forward(30 * 86400)
    for _ in range(3):
        asked(opened)
    assert counted(ALARMS, **EXPIRED) == before + 1
    place.write(first, trust.trust_root(version=2))
    assert any(reload(opened))
    asked(opened)
    assert counted(ALARMS, **EXPIRED) == before


def test_an_alarm_is_raised_at_once_by_a_trust_root_that_has_expired(place: Place) -> None:
    """Also before anybody publishes."""
    place.write(trust.trust_root(expire_time=START))
    before = counted(ALARMS, **EXPIRED)
    place.open()
    assert counted(ALARMS, **EXPIRED) == before + 1


def test_a_key_is_renewed_while_the_registry_runs(place: Place) -> None:
    """The next rollback is signed with the one that the file holds then."""
    opened = place.open("promoter")
    made = trust.promotion(signer=None)
    assert opened.signed(made).signature == trust.signed_statement(made.statement)
    (place.folder / "promoter.pem").unlink()
    trust.key("attacker").write(place.folder / "promoter.pem")
    assert reload(opened) == [False, True]
    with pytest.raises(Untrusted) as caught:
        opened.signed(made)
    assert caught.value.reason == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "TRUST_ROOT_UNREADABLE"), (b"", "ROOT_INVALID"), (b'{"roots": []}', "ROOT_INVALID")],
)
def test_a_registry_does_not_open_what_is_no_trust_root(
    place: Place, content: bytes | None, reason: str
) -> None:
    """Nor does it go on without one."""
    place.path.unlink()
    if content is not None:
        place.path.write_bytes(content)
    with pytest.raises((InvalidInput, Untrusted)) as caught:
        place.open()
    assert caught.value.reason == reason


def test_a_registry_does_not_open_with_what_is_no_key(place: Place) -> None:
    """Its rollbacks would be missed when they are needed."""
    (place.folder / "none.pem").write_bytes(b"none")
    with pytest.raises(InvalidInput) as caught:
        open_trust(place.path, place.folder / "none.pem", clock=place.clock)
    assert caught.value.reason == "KEY_INVALID"

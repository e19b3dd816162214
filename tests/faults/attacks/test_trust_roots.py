"""Keys that are rotated and revoked, and trust roots that do not follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.simulated_registry import (
    NOW,
    Pod,
)
from tests.fakes.trust import (
    promoter,
    publisher,
    registry,
    signed_root,
    trust_root,
    trust_roots,
)
from tests.faults.attacks.world import (
    MONTH,
    NEW,
    World,
    check_starts_not,
    reasons,
)
from voiceflow.errors import Untrusted, VoiceFlowError
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoots, read_trust_roots, write_chain


def with_second_root(**more: Any) -> TrustRoots:
    """The first trust root, and a version 2."""
    return trust_roots(trust_root(), trust_root(version=2, **more))


PUBLISHER_REVOKED = with_second_root(publishers=[publisher(status=KeyStatus.REVOKED)])
PROMOTER_REVOKED = with_second_root(promoters=[promoter(status=KeyStatus.REVOKED), registry()])


@pytest.mark.parametrize("roots", [PUBLISHER_REVOKED, PROMOTER_REVOKED])
async def test_r34_nothing_of_a_revoked_key_is_loaded(world: World, roots: TrustRoots) -> None:
    """Neither fetched nor from the cache, with the registry or without it."""
    pod = world.pod()
    assert await pod.start() == NEW
    await check_starts_not(world.pod(roots=roots), "KEY_REVOKED")
    pod.roots = roots
    for address in (world.address, "127.0.0.1:1"):
        pod.address = address
        with pytest.raises(VoiceFlowError) as caught:
            await pod.start()
        if address == world.address or roots is PROMOTER_REVOKED:
            assert caught.value.reason == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("roots", "subject"), [(PUBLISHER_REVOKED, "manifest"), (PROMOTER_REVOKED, "promotion")]
)
async def test_r34_a_key_that_is_revoked_meanwhile_sounds_an_alarm(
    world: World, roots: TrustRoots, subject: str
) -> None:
    """What is served goes on being served until somebody promotes another version."""
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        trusted.look()
        assert pod.alarms.raised == {}
        pod.roots = roots
        trusted.look()
        assert reasons(pod) == {subject: "KEY_REVOKED"}


async def test_r34_keys_are_rotated_without_anybody_losing_trust(world: World) -> None:
    """What the retired keys signed holds, and what the new ones sign, without a restart."""
    rotated = with_second_root(
        publishers=[publisher(status=KeyStatus.RETIRED), publisher("publisher-2")],
        promoters=[promoter(status=KeyStatus.RETIRED), promoter("promoter-2"), registry()],
    )
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        pod.roots = rotated
        trusted.look()
        assert pod.alarms.raised == {}
        pin = world.registry.publish("3.0.0", signer="publisher-2")
        world.registry.promote(pin, signer="promoter-2")
        await pod.find(trusted)
    assert await pod.start() == "3.0.0"
    assert pod.remembers().trusted.root_version == 2
    await check_starts_not(world.pod(), "SIGNATURE_INVALID")  # of the old trust root


async def test_r34_an_older_trust_root_is_refused(world: World) -> None:
    """A pod that has seen a version does not go back before it, or to another of its number."""
    pod = world.pod(roots=with_second_root())
    assert await pod.start() == NEW
    pod.roots = trust_roots()
    await check_refuses_root(pod, "ROOT_BEHIND")
    pod.roots = with_second_root(expire_time=NOW + MONTH)
    await check_refuses_root(pod, "ROOT_INVALID")
    pod.roots = trust_roots(*(trust_root(version=number) for number in (1, 2, 3)))
    assert await pod.start() == NEW


async def test_r34_an_older_trust_root_under_a_running_pod_sounds_an_alarm(world: World) -> None:
    """And the newer one stays in force."""
    pod = world.pod(roots=with_second_root())
    with pod.trusting() as trusted:
        await pod.find(trusted)
        pod.roots = trust_roots()
        trusted.look()
        assert reasons(pod) == {"trust root": "ROOT_BEHIND"}
        pod.roots = with_second_root()
        trusted.look()
        assert pod.alarms.raised == {}


FIRST, SECOND, THIRD = (trust_root(version=number) for number in (1, 2, 3))
OTHERS = trust_root(version=2, root_keys=["root-4", "root-5"])


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ([signed_root(FIRST), signed_root(THIRD)], "ROOT_GAP"),
        ([signed_root(SECOND)], "ROOT_GAP"),
        ([signed_root(FIRST), signed_root(SECOND, ["root-1"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(OTHERS, ["root-4", "root-5"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(SECOND, ["promoter", "publisher"])], "ROOT_NOT_SIGNED"),
        ([signed_root(FIRST), signed_root(OTHERS, ["root-1", "root-2"])], "ROOT_NOT_SIGNED"),
    ],
)
def test_r34_a_trust_root_that_the_one_before_does_not_vouch_for_is_refused(
    tmp_path: Path, chain: Sequence[Any], reason: str
) -> None:
    """Versions left out, too few signatures, those of strangers, or none of its own keys."""
    path = tmp_path / "trust-root.json"
    path.write_bytes(write_chain(chain))
    with pytest.raises(Untrusted) as caught:
        read_trust_roots(path)
    assert caught.value.reason == reason
    others = signed_root(OTHERS, ["root-1", "root-2", "root-4", "root-5"])
    path.write_bytes(write_chain([signed_root(FIRST), others]))
    assert read_trust_roots(path).newest.version == 2


async def test_r34_an_expired_trust_root_sounds_an_alarm_and_goes_on(world: World) -> None:
    """Nobody is left without service because somebody forgot to sign."""
    pod = world.pod(roots=trust_roots(trust_root(expire_time=NOW + MONTH)))
    assert await pod.start() == NEW
    assert pod.alarms.raised == {}
    pod.now += MONTH
    world.registry.promote("3.0.0")
    assert await pod.start() == "3.0.0"
    assert reasons(pod) == {"trust root": "ROOT_EXPIRED"}


async def check_refuses_root(pod: Pod, reason: str) -> None:
    """Checks that a pod does not start with its trust root, and remembers a newer one."""
    remembered = pod.remembers()
    with pytest.raises(Untrusted) as caught:
        await pod.start()
    assert caught.value.reason == reason
    assert pod.remembers() == remembered

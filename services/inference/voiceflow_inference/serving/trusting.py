"""What one pod trusts: moved forward by what is signed, remembered, and watched for its age.

Whatever brings promotions (the history at the start, a watch later) hands them over here, oldest
first; what comes back may be downloaded and served. The rules are those of `voiceflow.trust`; this
keeps their outcome, and lets nothing be forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Never, TypeAlias

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.channels import Promotion, VersionPin
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.errors import Untrusted, VoiceFlowError
from voiceflow.package import CheckManifest
from voiceflow.trust.authority import check_manifest
from voiceflow.trust.root import TrustRoots
from voiceflow.trust.trusted import (
    MAXIMUM_JUMP,
    TrustedState,
    advance_promotion,
    advance_root,
    expired,
)
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.state_file import Remembered, StateFile

_LOG = logging.getLogger(__name__)

ROOT: Final = "trust root"
PROMOTION: Final = "promotion"
MANIFEST: Final = "manifest"
"""Subjects of alarms."""

_ROOT_REASON: Final = "ROOT_EXPIRED"
_PROMOTION_REASON: Final = "PROMOTION_EXPIRED"


class TrustedChannel:
    """What is trusted of the channel that this pod follows.

    Args:
        channel: Which.
        roots: The trust root as it is now; asked again by `look`.
        memory: Keeps what is trusted.
        alarms: Told what has expired, or does not hold any more.
        now: The time.

    Raises:
        Untrusted: ROOT_BEHIND, ROOT_INVALID: the trust root is older than the one remembered, or
            another one.
        ContentCorrupt: STATE_CORRUPT: what was remembered is damaged, or of another channel.
    """

    def __init__(
        self,
        channel: ChannelName,
        roots: Callable[[], TrustRoots],
        memory: StateFile,
        alarms: Alarms,
        now: Callable[[], datetime],
    ) -> None:
        self.channel = channel
        self.alarms = alarms
        self._roots = roots
        self._memory = memory
        self._now = now
        nothing = Remembered(trusted=TrustedState(channel=str(channel)))
        remembered = memory.read()
        if remembered is None:
            _LOG.warning(
                "nothing is remembered of %s: the first promotion that is signed is believed",
                channel,
            )
        self._remembered = remembered or nothing
        if self._remembered.trusted.channel != str(channel):
            raise memory.corrupt(f"it is about {self._remembered.trusted.channel}, not {channel}")
        self._checked: dict[Digest, _Checked] = {}
        self._checking = threading.Lock()  # manifests are checked by threads
        self._taken: set[Digest] = set()
        self._root = roots().newest
        self._renew_root()

    @property
    def sequence(self) -> int:
        """Of the newest promotion that is trusted; 0: none yet."""
        return self._remembered.trusted.sequence

    @property
    def held(self) -> Promotion | None:
        """The newest promotion whose package was verified here, whether or not it still holds."""
        return self._remembered.held

    def suffice(self, steps: Sequence[Promotion]) -> bool:
        """Whether promotions, newest first, lead on from the trusted one, or never will."""
        newest, oldest = steps[0].sequence, steps[-1].sequence
        return (
            self.sequence == 0
            or oldest <= self.sequence + 1
            or oldest != newest - len(steps) + 1
            or newest > self.sequence + MAXIMUM_JUMP
        )

    def take(self, steps: Sequence[Promotion]) -> Promotion:
        """Trusts the newest of some promotions, and remembers that before it returns.

        Args:
            steps: Every promotion after the trusted one, the newest last; where none is trusted
                yet, the newest suffices. The trusted one alone is as good as new.

        Returns:
            The newest: what is to be downloaded, and then held.

        Raises:
            Untrusted: With the rule of `voiceflow.trust.trusted` that is broken; nothing changes.
        """
        trusted = advance_promotion(self._root, self._remembered.trusted, steps, self._now())
        newest = steps[-1]
        # Trusted before, and never served: this would be moving to it.
        served = self.held is not None and self.held.statement == newest.statement
        if expired(newest, self._now()) and not served:
            raise Untrusted(
                f"promotion {newest.sequence} of {self.channel} has expired and is not moved to",
                reason=_PROMOTION_REASON,
            )
        self._remember(trusted=trusted)
        self._taken.add(digest_of(newest.statement))
        return newest

    def hold(self, promotion: Promotion) -> None:
        """Remembers that a promotion is served: one that was taken, or held before.

        Others may have been taken since: a pod may go back to what it has served.
        """
        if digest_of(promotion.statement) not in self._taken:
            raise ValueError(f"promotion {promotion.sequence} was never trusted")
        self._remember(held=promotion)
        self.look()

    def serve(self, pins: Collection[VersionPin]) -> None:
        """Says what is served: the signatures of other manifests do not matter any more."""
        served = {pin.manifest_digest for pin in pins}
        with self._checking:
            self._checked = {at: one for at, one in self._checked.items() if at in served}
        self.look()

    def check_held(self) -> Promotion | None:
        """The held promotion, if whoever signed it may still be believed; None: none is held.

        It may have expired, and others may be known to have come after it.

        Raises:
            Untrusted: SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED: not any more.
        """
        held = self.held
        if held is not None:
            moved = {"sequence": held.sequence, "statement_digest": digest_of(held.statement)}
            state = self._remembered.trusted.model_copy(update=moved)
            advance_promotion(self._root, state, [held], self._now())
            self._taken.add(digest_of(held.statement))
        return held

    def check_manifest(self, pin: VersionPin) -> CheckManifest:
        """What checks that a publisher of the pinned version's model has signed its manifest."""
        return partial(self._check_manifest, VersionName.parse(pin.version))

    def check_any_manifest(self, manifest: bytes, signature: Signature | None) -> None:
        """Checks that a publisher of the model that a manifest names has signed it.

        Raises:
            Untrusted: As `voiceflow.trust.authority.check_manifest`.
        """
        name = VersionName.parse(Manifest.from_json(manifest).resource_name)
        self._check_manifest(name, manifest, signature)

    async def keep_looking(self, every_seconds: float) -> Never:
        """Looks again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            self.look()

    def look(self) -> None:
        """Looks at the trust root and the time again; sounds and clears alarms accordingly.

        What is served goes on being served, whatever is found.
        """
        try:
            self._renew_root()
        except VoiceFlowError as error:
            self.alarms.sound(ROOT, error.reason, error.message)
        else:
            self._look_at_root()
        self._look_at_promotion()
        self._look_at_manifest()

    def _look_at_root(self) -> None:
        if self._root.expired(self._now()):
            message = f"version {self._root.version} expired at {self._root.expire_time}"
            self.alarms.sound(ROOT, _ROOT_REASON, message)
        else:
            self.alarms.clear(ROOT)

    def _look_at_promotion(self) -> None:
        try:
            held = self.check_held()
        except Untrusted as error:
            self.alarms.sound(PROMOTION, error.reason, error.message)
            return
        if held is not None and expired(held, self._now()):
            message = f"promotion {held.sequence} of {self.channel} expired at {held.expire_time}"
            self.alarms.sound(PROMOTION, _PROMOTION_REASON, message)
        else:
            self.alarms.clear(PROMOTION)

    def _look_at_manifest(self) -> None:
        """Those that were found good and are served."""
        with self._checking:
            served = tuple(self._checked.values())
        try:
            for checked in served:
                self._check_manifest(*checked)
        except Untrusted as error:
            self.alarms.sound(MANIFEST, error.reason, error.message)
        else:
            self.alarms.clear(MANIFEST)

    def _renew_root(self) -> None:
        roots = self._roots()
        trusted = advance_root(self._remembered.trusted, roots)
        if trusted != self._remembered.trusted:
            self._remember(trusted=trusted)
        self._root = roots.newest

    def _check_manifest(
        self, version: VersionName, manifest: bytes, signature: Signature | None
    ) -> None:
        check_manifest(
            self._root, model=version.model, manifest=manifest, signature=signature, new=False
        )
        said = Manifest.from_json(manifest).resource_name
        if said != str(version):
            raise Untrusted(
                f"the manifest pinned as {version} is signed as that of {said}",
                reason="STATEMENT_MISMATCH",
            )
        with self._checking:
            self._checked[digest_of(manifest)] = (version, manifest, signature)

    def _remember(
        self, *, trusted: TrustedState | None = None, held: Promotion | None = None
    ) -> None:
        before = self._remembered
        now = Remembered(trusted=trusted or before.trusted, held=held or before.held)
        if now != before:
            self._memory.write(now)
            self._remembered = now


_Checked: TypeAlias = tuple[VersionName, bytes, Signature | None]
"""A manifest that was found good: of which version, its bytes, and who has signed them."""

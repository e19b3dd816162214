"""What a pod believes of the channel that it follows: what is signed, or else what it is told.

`TrustedChannel` is the one; without a trust root `UncheckedChannel` stands in its place. Both
remember what was served last, so that a pod starts while its registry is away.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from voiceflow.catalog.channels import Promotion, VersionPin
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import ContentCorrupt, VoiceFlowError
from voiceflow.package import CheckManifest
from voiceflow.trust.trusted import TrustedState
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.state_file import Remembered, StateFile

_LOG = logging.getLogger(__name__)

STATE: Final = "state"
"""Subject of the alarm about what cannot be remembered."""


class Belief(Protocol):
    """What is believed of one channel.

    Attributes:
        channel: Which.
        alarms: Told what is wrong.
    """

    channel: ChannelName
    alarms: Alarms

    @property
    def sequence(self) -> int:
        """Of the newest promotion that is believed; 0: none yet."""

    @property
    def held(self) -> Promotion | None:
        """What was served last, whether or not it may be served again."""

    def suffice(self, steps: Sequence[Promotion]) -> bool:
        """Whether promotions, newest first, are all that `take` needs."""

    def take(self, steps: Sequence[Promotion]) -> Promotion:
        """Believes the newest of some promotions, the newest last; raises VoiceFlowError."""

    def hold(self, promotion: Promotion) -> None:
        """Remembers that a promotion is served; raises VoiceFlowError."""

    def check_held(self) -> Promotion | None:
        """What was served last, if it may be served again; else None, or raises Untrusted."""

    def serve(self, pins: Collection[VersionPin]) -> None:
        """Says what is served now."""

    def check_manifest(self, pin: VersionPin) -> CheckManifest | None:
        """What checks the signature of a pinned version's manifest; None: nothing does."""

    def look(self) -> None:
        """Looks anew at what may have expired."""


class UncheckedChannel:
    """Believes whatever the registry says; a `Belief`.

    What cannot be remembered, or read again, is missed only where the registry is away: an alarm
    or a warning says so.

    Args:
        channel: That is followed.
        memory: Keeps what is served.
        alarms: Told what cannot be remembered.
    """

    def __init__(self, channel: ChannelName, memory: StateFile, alarms: Alarms) -> None:
        self.channel = channel
        self.alarms = alarms
        self._memory = memory
        self._sequence = 0
        self._held = self._read()

    @property
    def sequence(self) -> int:
        """Of the newest promotion that the registry told in this process; 0: none yet."""
        return self._sequence

    @property
    def held(self) -> Promotion | None:
        """What was served last."""
        return self._held

    def suffice(self, steps: Sequence[Promotion]) -> bool:
        """The newest alone does."""
        return bool(steps)

    def take(self, steps: Sequence[Promotion]) -> Promotion:
        """Believes the newest."""
        self._sequence = steps[-1].sequence
        return steps[-1]

    def hold(self, promotion: Promotion) -> None:
        """Remembers it; where that fails, an alarm says so."""
        if promotion == self._held:
            return
        self._held = promotion
        nothing = TrustedState(channel=str(self.channel))
        try:
            self._memory.write(Remembered(trusted=nothing, held=promotion))
        except VoiceFlowError as error:
            self.alarms.sound(STATE, error.reason, error.message)
        else:
            self.alarms.clear(STATE)

    def check_held(self) -> Promotion | None:
        """What was served last; nobody checks it."""
        return self._held

    def serve(self, pins: Collection[VersionPin]) -> None:
        """Nothing of it is watched."""

    def check_manifest(self, pin: VersionPin) -> None:
        """Nothing does."""
        del pin

    def look(self) -> None:
        """Nothing expires that is not checked."""

    def _read(self) -> Promotion | None:
        """A damaged memory is none: nothing rests on it but a start without the registry."""
        try:
            remembered = self._memory.read()
        except ContentCorrupt as error:
            _LOG.warning("what was served last is not known: %s", error.message)
            return None
        if remembered is None or remembered.trusted.channel != str(self.channel):
            return None
        return remembered.held

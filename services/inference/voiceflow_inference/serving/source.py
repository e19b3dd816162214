"""Where versions come from: the seam between the manager and a registry, or a folder."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import Protocol

from voiceflow.catalog.channels import VersionPin
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.state import Wanted


class Source(Protocol):
    """Says what a pod should serve, and brings it. Called by the event loop alone."""

    def wanted(self) -> AsyncGenerator[Wanted, None]:
        """What should be served: the first as soon as it is known, then every change.

        The newest counts. A change of the rules alone comes with the sequence that stands. It ends
        with an error only before the first: afterwards a source that is away is waited for.

        Raises:
            VoiceFlowError: There is nothing, and nothing came within the time set.
        """

    async def fetch(self, pin: VersionPin) -> Found:
        """Sees to it that a version is here, verified; may be cancelled at any time.

        Raises:
            VoiceFlowError: It is not; the manager asks again after a while.
        """

    def instead(self, wanted: Wanted) -> Wanted | None:
        """What to serve where the primary of `wanted` cannot be, before what was served earlier.

        Of a folder, its next version; of a registry, the promotion that was served last, if it is
        an older one. Asked again with the answer if that cannot be served either.

        Returns:
            With a sequence that is not above that of `wanted`; None: there is nothing.
        """

    def holds(self, wanted: Wanted) -> None:
        """It is served now, in all its roles: the source remembers it over a restart."""

    def keep(self, pins: Collection[VersionPin]) -> None:
        """Those are in use, or gone back to; others may go from the disk."""

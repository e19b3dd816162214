"""What the manager needs of the parts that it is given, besides its `Source`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from voiceflow.catalog.channels import RevertRules, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.evidence import Evidence
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.judge import Breach


class Loads(Protocol):
    """Makes a generation of a package; see `loading.Loader`."""

    async def load(
        self,
        found: Found,
        pin: VersionPin,
        number: int,
        on_state: Callable[[GenerationState], None],
    ) -> Generation:
        """Loads and warms a version; cancelled, it leaves nothing behind.

        Args:
            found: The package.
            pin: What it must be.
            number: Of the generation.
            on_state: Told LOADING, then WARMING.

        Raises:
            PackageInvalid: It does not do here what it should.
            Unavailable: That cannot be said now.
        """


class Judges(Protocol):
    """Says when a version is to be left; see `judge.Judge`."""

    def look(self, rules: RevertRules, subject: Evidence, base: Evidence | None) -> Breach | None:
        """The rule that a version breaks, beside the primary or alone; None: none."""

"""A version on its way in, as a span and a count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from voiceflow.telemetry.metrics import PUBLISHES
from voiceflow.telemetry.spans import outcome_of, telling
from voiceflow_registry.publishing.publish import Published


@dataclass(slots=True)
class Submitted:
    """What becomes of a version that is sent in.

    Attributes:
        outcome: `published`, `already_published`, `checked`, or how it ended else.
    """

    outcome: str = ""

    def answered(self, done: Published) -> None:
        """It has been taken in, or would be."""
        if done.already_published:
            self.outcome = "already_published"
        else:
            self.outcome = "checked" if done.version.publish_time is None else "published"


@contextmanager
def publishing() -> Iterator[Submitted]:
    """A version is sent in while the block runs."""
    submitted = Submitted()
    with telling("voiceflow.publish") as span:
        try:
            yield submitted
        except BaseException as error:
            submitted.outcome = outcome_of(error)
            raise
        finally:
            PUBLISHES.add(1, {"outcome": submitted.outcome})
            span.set_attribute("voiceflow.publish.outcome", submitted.outcome)

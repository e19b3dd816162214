"""What is known of a loaded version, for the judge: values. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """How long two models took for the same call, one right after the other in one thread."""

    subject_seconds: float
    base_seconds: float


@dataclass(frozen=True, slots=True)
class Flicker:
    """Label changes and minutes of speech, with streams as units: c and m of each, summed.

    Attributes:
        streams: With any speech.
        changes: Sum of c.
        minutes: Sum of m.
        changes_squared: Sum of c * c.
        products: Sum of c * m.
        minutes_squared: Sum of m * m.
    """

    streams: int = 0
    changes: int = 0
    minutes: float = 0.0
    changes_squared: int = 0
    products: float = 0.0
    minutes_squared: float = 0.0

    def with_stream(self, changes: int, minutes: float) -> Flicker:
        """These and one stream more."""
        if not minutes:
            return self
        return Flicker(
            self.streams + 1,
            self.changes + changes,
            self.minutes + minutes,
            self.changes_squared + changes * changes,
            self.products + changes * minutes,
            self.minutes_squared + minutes * minutes,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a generation since its start, for the judge.

    Attributes:
        streams: That began on it or moved to it.
        hops: That it computed, or tried.
        failed_hops: Of these, those that came to nothing, for whatever reason.
        non_finite_hops: Of these, those with NaN or infinity.
        hung: Whether a call did not come back.
        flicker: Of all streams, live ones included.
        pairs: Calls measured beside the base's, oldest first.
    """

    streams: int = 0
    hops: int = 0
    failed_hops: int = 0
    non_finite_hops: int = 0
    hung: bool = False
    flicker: Flicker = Flicker()
    pairs: tuple[Pair, ...] = ()

"""What an update says, as a telling that any system could have made."""

from __future__ import annotations

from voiceflow.cli.evaluate.hearing import telling_of
from voiceflow.client import Region, Turn, Update
from voiceflow.evaluation import Spoken
from voiceflow.evaluation.telling import Telling, final


def test_final_regions_and_what_is_provisional_after_them_are_told() -> None:
    """A turn that goes on past what is final is told once: its beginning is the regions'."""
    update = Update(
        final_regions=(Region(16_000, 32_000, ("S1",)), Region(32_000, 48_000, ("S1", "S2"))),
        turns=(
            Turn("S1", 8_000, 64_000, 0.9, final=False),
            Turn("S3", 56_000, 72_000, 0.2, final=False),
            Turn("S2", 32_000, 48_000, 0.9, final=True),
        ),
        covered_samples=80_000,
        final_until_samples=48_000,
    )
    assert telling_of(update, told_until_samples=16_000) == Telling(
        5.0,
        1.0,
        (
            Spoken("S1", 1.0, 3.0),
            Spoken("S2", 2.0, 3.0),
            Spoken("S1", 3.0, 4.0),
            Spoken("S3", 3.5, 4.5),
        ),
    )


def test_what_is_provisional_is_replaced_and_what_is_final_stays() -> None:
    """The tellings of a stream end in its final regions."""
    guess = Turn("S2", 0, 16_000, 0.1, final=False)
    longer = Turn("S2", 0, 32_000, 0.1, final=False)
    updates = [
        Update((), (guess,), 16_000, 0),
        Update((Region(0, 16_000, ("S1",)),), (longer,), 32_000, 16_000),
        Update((Region(16_000, 40_000, ()),), (), 40_000, 40_000),
    ]
    told = [
        telling_of(update, until) for update, until in zip(updates, (0, 0, 16_000), strict=True)
    ]
    assert final(told[:1]) == [Spoken("S2", 0.0, 1.0)]
    assert final(told[:2]) == [Spoken("S1", 0.0, 1.0), Spoken("S2", 1.0, 2.0)]
    assert final(told) == [Spoken("S1", 0.0, 1.0)]

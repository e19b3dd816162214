"""What a recording adds up to: its regions and turns, kept until it ends."""

from __future__ import annotations

from dataclasses import replace

from voiceflow.pipeline.turns import HopResult, Region, Turn


class Recording:
    """Collects the results of one recording's hops."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._turns: list[Turn] = []

    def add(self, result: HopResult) -> None:
        """Takes what the next hop has made final."""
        for region in result.final_regions:
            last = self._regions[-1] if self._regions else None
            if last is not None and last.speakers == region.speakers:
                self._regions[-1] = replace(last, end_samples=region.end_samples)
            else:
                self._regions.append(region)
        self._turns += result.turns_final

    @property
    def regions(self) -> list[Region]:
        """The partition; adjacent regions differ in their speakers."""
        return self._regions

    @property
    def turns(self) -> list[Turn]:
        """In order of their start."""
        return sorted(self._turns, key=lambda turn: (turn.start_samples, turn.end_samples))

"""Of which model the hypotheses are that a run has left, whatever is measured of them later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import Provenance
from voiceflow.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Run:
    """What was run.

    Attributes:
        provenance: Of what it left.
        operating_point: The model's thresholds.
        no_peer: Why there was no peer; None: there was.
        no_peer_rates: Why its encoder was not tried; None: it was, or nobody's.
    """

    provenance: Provenance
    operating_point: dict[str, Any]
    no_peer: str | None
    no_peer_rates: str | None

    def write(self, out: Path) -> None:
        """Notes it beside what it left."""
        _path(out).write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, out: Path) -> Run:
        """Of a folder of hypotheses.

        Raises:
            InvalidInput: HYPOTHESIS_MISSING, no run has come to its end there.
        """
        try:
            data = json.loads(_path(out).read_text("utf-8"))
        except OSError as error:
            raise InvalidInput(
                f"{out} holds no run that came to its end", reason="HYPOTHESIS_MISSING"
            ) from error
        return cls(**data | {"provenance": Provenance(**data["provenance"])})


def begin(out: Path) -> None:
    """From now on, until the end is noted, nobody knows whose the hypotheses are."""
    out.mkdir(parents=True, exist_ok=True)
    _path(out).unlink(missing_ok=True)


def _path(out: Path) -> Path:
    return out / "run.json"

"""RTTM, the text format of references and hypotheses (NIST RT-09 evaluation plan, appendix A)."""

from __future__ import annotations

from collections.abc import Iterable

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.errors import InvalidInput
from voiceflow.evaluation.spoken import Spoken, in_order


def read_rttm(text: str, name: str = "the reference") -> list[Spoken]:
    """The speakers of one recording.

    Raises:
        InvalidInput: REFERENCE_INVALID, with the line at fault.
    """
    spoken = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, duration, speaker = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise _reference_invalid(name, number, line) from error
        if not (0 <= start < float("inf") and 0 <= duration < float("inf")):
            raise _reference_invalid(name, number, line)
        spoken.append(Spoken(speaker, start, start + duration))
    return spoken


def write_rttm(name: str, spoken: Iterable[Spoken]) -> str:
    """The lines of one recording, in order of start.

    Times are rounded to the sample and written with seven decimals, in which every multiple of
    1/16000 s is exact: whoever scores the file scores what was said. What rounds to nothing is
    left out.

    Args:
        name: Of the recording, without white space.
        spoken: By speakers whose names hold no white space.

    Raises:
        ValueError: If a name is empty or holds white space, which would shift the fields.
    """
    lines = []
    for one in in_order(spoken):
        start = round(one.start_seconds * SAMPLE_RATE_HERTZ)
        length = round(one.end_seconds * SAMPLE_RATE_HERTZ) - start
        for field in (name, one.speaker):
            if field.split() != [field]:
                raise ValueError(f"{field!r} is no RTTM field: one word is allowed")
        if length > 0:
            times = f"{start / SAMPLE_RATE_HERTZ:.7f} {length / SAMPLE_RATE_HERTZ:.7f}"
            lines.append(f"SPEAKER {name} 1 {times} <NA> <NA> {one.speaker} <NA> <NA>\n")
    return "".join(lines)


def _reference_invalid(name: str, number: int, line: str) -> InvalidInput:
    return InvalidInput(
        f"{name}: line {number} is {line[:200]!r}; allowed is"
        " SPEAKER <file> <channel> <start> <duration> <NA> <NA> <speaker>, in seconds",
        reason="REFERENCE_INVALID",
        field="evaluation_set",
    )

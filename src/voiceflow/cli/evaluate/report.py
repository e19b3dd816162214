"""All that is measured of a folder of hypotheses: values, JSON, and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.cli.evaluate.end_of_speech import EndOfSpeech, end_of_speech
from voiceflow.cli.evaluate.figures import end_of_speech_data, finite, streaming_data
from voiceflow.cli.evaluate.hypotheses import (
    ALIASES,
    ends_path,
    holds_all,
    length_samples,
    read_ends,
    speech_path,
    tellings_path,
)
from voiceflow.cli.evaluate.scores import (
    COLLARS_TOTAL_SECONDS,
    ErrorRates,
    error_rates,
    read_hypotheses,
)
from voiceflow.cli.evaluate.speech import read_speech
from voiceflow.cli.evaluate.tables import end_of_speech_text, rates_text, streaming_text
from voiceflow.evaluation import EvaluationSet, Recording, Scorer, scorer_version
from voiceflow.evaluation.streaming import Streaming
from voiceflow.evaluation.streaming import measure as measure_streaming
from voiceflow.evaluation.telling import final, read_tellings


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured of one system on one set.

    Attributes:
        set_name: Of the labelled conversations.
        set_digest: Of their files.
        rates: By total width of the collar.
        aliased: Without a collar, labels that were found to be one person read as one; None: the
            folder does not say.
        streaming: Over all recordings; None: the folder does not say what was said when.
        end_of_speech: Likewise; None: it has no speech probabilities.
    """

    set_name: str
    set_digest: str
    rates: Mapping[float, ErrorRates]
    aliased: ErrorRates | None
    streaming: Streaming | None
    end_of_speech: EndOfSpeech | None

    def as_data(self) -> dict[str, Any]:
        """As JSON has it; what is not known is null."""
        data = {
            "set": self.set_name,
            "set_digest": self.set_digest,
            "scorer": scorer_version(),
            "rates": [rates.as_data() for rates in self.rates.values()],
            "aliased": self.aliased and self.aliased.as_data(),
            "streaming": self.streaming and streaming_data(self.streaming),
            "end_of_speech": self.end_of_speech and end_of_speech_data(self.end_of_speech),
        }
        return dict(finite(data))

    def as_text(self) -> str:
        """Tables in Markdown."""
        parts = [f"{self.set_name}, {scorer_version()}"]
        parts += [rates_text(rates) for rates in self.rates.values()]
        if self.aliased:
            parts.append(rates_text(self.aliased, "merged labels read as one"))
        if self.streaming:
            parts.append(streaming_text(self.streaming))
        if self.end_of_speech:
            parts.append(end_of_speech_text(self.end_of_speech))
        return "\n\n".join(parts)


def measure(folder: Path, labelled: EvaluationSet) -> Report:
    """Measures what a folder says of the recordings of a set.

    Raises:
        InvalidInput: With the file that is missing or is not what it should be.
        NotAllowedNow: SCORER_MISSING.
    """
    hypotheses = read_hypotheses(folder, labelled)
    rates = {
        collar: error_rates(hypotheses, labelled, collar_total_seconds=collar)
        for collar in COLLARS_TOTAL_SECONDS
    }
    aliased = streaming = endings = None
    if (folder / ALIASES).is_dir():
        aliased = error_rates(read_hypotheses(folder / ALIASES, labelled), labelled)
    if holds_all(labelled, lambda name: tellings_path(folder, name)):
        streaming = _streaming(folder, labelled)
    if holds_all(labelled, lambda name: speech_path(folder, name)):
        names = [one.name for one in labelled.recordings]
        told_ends = holds_all(labelled, lambda name: ends_path(folder, name))
        endings = end_of_speech(
            {name: read_speech(speech_path(folder, name)) for name in names},
            {name: read_ends(folder, name) for name in names} if told_ends else None,
            labelled,
        )
    return Report(labelled.name, labelled.digest, rates, aliased, streaming, endings)


def _streaming(folder: Path, labelled: EvaluationSet) -> Streaming:
    scorer = Scorer()

    def measured(recording: Recording) -> Streaming:
        tellings = read_tellings(tellings_path(folder, recording.name))
        samples = length_samples(recording)
        mapping = scorer.mapping(recording.reference, final(tellings), samples)
        return measure_streaming(
            recording.reference, tellings, samples / SAMPLE_RATE_HERTZ, mapping
        )

    return sum(map(measured, labelled.recordings), Streaming())

"""What probes are asked and what they answer: measurements, which the registry judges.

A model may have taken over the process that answers, so each answer is read as strictly as any
other input: bounded lists and texts, finite numbers, no field that is not known.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated, Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from voiceflow.contract import TensorSignature
from voiceflow.pipeline.model import FloatArray
from voiceflow.validation.sandbox import JsonValue, SandboxFailure

TEXT_CHARACTERS: Final = 500
LIST_LENGTH: Final = 500

Text = Annotated[str, StringConstraints(max_length=TEXT_CHARACTERS)]
Name = Annotated[str, StringConstraints(max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Answer(BaseModel):
    """A frozen value that crosses the border of the sandbox."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(Answer):
    """An input or output; None is a dynamic dimension."""

    name: Name
    dtype: Name
    dims: Annotated[tuple[Count | None, ...], Field(max_length=16)]

    def signature(self) -> TensorSignature:
        """The same for `voiceflow.contract`."""
        return TensorSignature(self.name, self.dtype, self.dims)


class Loaded(Answer):
    """What ONNX Runtime says of a graph.

    Attributes:
        refused: Why it does not load; empty if it does.
    """

    refused: Text = ""
    inputs: Annotated[tuple[Tensor, ...], Field(max_length=LIST_LENGTH)] = ()
    outputs: Annotated[tuple[Tensor, ...], Field(max_length=LIST_LENGTH)] = ()


class Golden(Answer):
    """Whether the golden outputs were reproduced.

    Attributes:
        fault: Why not; empty if they were.
        tolerance: As the file states it; None if that is no finite number.
    """

    fault: Text = ""
    tolerance: Finite | None = None


class Misshapen(Answer):
    """A tensor of another shape than its input demands."""

    tensor: Name
    seen: Text
    allowed: Text


class Heard(Answer):
    """What a model said to one signal.

    Attributes:
        signal: In words.
        not_finite: Tensors with NaN or infinity.
        lowest: Of all probabilities; None if none is finite.
        highest: Likewise.
        furthest_length: Of a speaker vector's length from 1; None if none is finite.
        repeated: The same input again gave the same bits.
    """

    signal: Name
    not_finite: Annotated[tuple[Name, ...], Field(max_length=LIST_LENGTH)] = ()
    misshapen: Annotated[tuple[Misshapen, ...], Field(max_length=LIST_LENGTH)] = ()
    lowest: Finite | None = None
    highest: Finite | None = None
    furthest_length: Finite | None = None
    repeated: bool = True


class HeardAll(Answer):
    """One entry a signal and hop."""

    heard: Annotated[tuple[Heard, ...], Field(max_length=LIST_LENGTH)]


class Deviation(Answer):
    """How far two answers are apart that should be one.

    Attributes:
        what: How the second one was computed: `hops of 2 frames`.
        tensor: Where they differ most.
        furthest: Largest distance of two numbers; of state, relative to the largest number in it
            where that is above 1. None: not finite, or of different shapes.
    """

    what: Name
    tensor: Name
    furthest: Finite | None


class Compared(Answer):
    """All comparisons of one kind.

    Attributes:
        comparisons: How many were made.
        deviations: Those that are not the same to the bit, the furthest of each.
    """

    comparisons: Count
    deviations: Annotated[tuple[Deviation, ...], Field(max_length=LIST_LENGTH)] = ()


class Timed(Answer):
    """How long calls took."""

    seconds: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        Field(min_length=1, max_length=10_000),
    ]


class Done(Answer):
    """It was done; what is to be seen is seen from outside."""

    done: bool


class FinalRegion(Answer):
    """A half-open span with its speakers, in 16 kHz samples."""

    start_samples: Count
    end_samples: Count
    speakers: Annotated[tuple[Name, ...], Field(max_length=16)]


class Diarized(Answer):
    """The final regions of one recording."""

    regions: Annotated[tuple[FinalRegion, ...], Field(max_length=1_000_000)]


class Array(Answer):
    """An array of float32; the numbers in base64."""

    shape: Annotated[tuple[Count, ...], Field(max_length=8)]
    numbers: str

    @classmethod
    def of(cls, array: NDArray[Any]) -> Array:
        """An array as it crosses the border."""
        content = np.ascontiguousarray(array, "<f4").tobytes()
        return cls(shape=array.shape, numbers=base64.b64encode(content).decode("ascii"))

    def array(self) -> FloatArray:
        """The array again.

        Raises:
            SandboxFailure: If shape and numbers do not fit.
        """
        try:
            content = base64.b64decode(self.numbers, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _invalid(str(error)) from error
        if len(content) != 4 * math.prod(self.shape):
            raise _invalid(f"{len(content)} bytes for the shape {self.shape}")
        return np.frombuffer(content, "<f4").reshape(self.shape)


class Stretch(Answer):
    """What a model said to a stretch of audio, and its memory after it.

    Attributes:
        activity: (frames, tracks).
        embedding: (frames, tracks, dim).
        speech: (frames,).
        state: Each (…), by name.
    """

    speech: Array
    activity: Array
    embedding: Array
    state: dict[Name, Array]


class Asked(Answer):
    """A question: run this stretch of the recording.

    Attributes:
        start_frame: Where it begins.
        end_frame: Where it ends.
        state: Memory before it; None: that of a stream at its start.
    """

    start_frame: Annotated[int, Field(ge=0)]
    end_frame: Annotated[int, Field(gt=0)]
    state: dict[Name, Array] | None = None


class Calls(Answer):
    """A question: time so many calls with so many rows, one after another."""

    do: Literal["calls"] = "calls"
    rows: Annotated[int, Field(gt=0)]
    calls: Annotated[int, Field(gt=0)]


class Reload(Answer):
    """A question: unload the model and load it again, so many times; run it each time."""

    do: Literal["reload"] = "reload"
    times: Annotated[int, Field(gt=0)]


class Failed(Answer):
    """ONNX Runtime raised an error."""

    failed: Text


Kind = TypeVar("Kind", bound=Answer)


def read(kind: type[Kind], reply: JsonValue) -> Kind | Failed:
    """Reads an answer that is not trusted.

    Raises:
        SandboxFailure: `reply-invalid`, if it is none of that kind.
    """
    failed = isinstance(reply, dict) and "failed" in reply
    try:
        return (Failed if failed else kind).model_validate(reply)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"{where}: {first['msg']}") from error


def shaped(array: Array, shape: tuple[int, ...]) -> FloatArray:
    """An array that must have this shape.

    Raises:
        SandboxFailure: If it has not.
    """
    if array.shape != shape:
        raise _invalid(f"an array of shape {array.shape} instead of {shape}")
    return array.array()


def finite(number: float) -> float | None:
    """A number that JSON has, or None."""
    return float(number) if math.isfinite(number) else None


def _invalid(what: str) -> SandboxFailure:
    return SandboxFailure(
        "reply-invalid",
        seen=what[:TEXT_CHARACTERS],
        allowed="measurements in their own form",
        message="The model's process answered something else than what it was asked for.",
    )

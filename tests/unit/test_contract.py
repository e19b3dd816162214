"""A graph's tensors against the contract that its manifest names."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.synthetic import DIM, manifest
from voiceflow.artifact import Manifest
from voiceflow.contract import (
    STREAM_CONTRACT,
    WINDOW_CONTRACT,
    TensorSignature,
    check_signature,
    contracts,
)
from voiceflow.errors import PackageInvalid

STREAM_INPUTS = [
    TensorSignature("audio", "float32", (None, None)),
    TensorSignature("state.tail", "float32", (None, 240)),
    TensorSignature("state.memory", "float32", (None, 4, 176)),
]
STREAM_OUTPUTS = [
    TensorSignature("speech", "float32", (None, None)),
    TensorSignature("activity", "float32", (None, None, 2)),
    TensorSignature("embedding", "float32", (None, None, 2, DIM)),
    TensorSignature("next.tail", "float32", (None, 240)),
    TensorSignature("next.memory", "float32", (None, 4, 176)),
]
WINDOW_INPUTS = [TensorSignature("audio", "float32", (None, 48_000))]
WINDOW_OUTPUTS = [
    TensorSignature("activity", "float32", (None, 75, 3)),
    TensorSignature("embedding", "float32", (None, 3, DIM)),
]


def windowed() -> Manifest:
    """A manifest of the window contract: 3 s, three local speakers."""
    return manifest(contract=WINDOW_CONTRACT, window_samples=48_000, tracks=3, look_ahead_frames=0)


def changed(
    tensors: list[TensorSignature], name: str, *, dtype: str = "", dims: tuple[int | None, ...] = ()
) -> list[TensorSignature]:
    """The tensors with one of them given another type or shape."""
    return [
        TensorSignature(name, dtype or tensor.dtype, dims or tensor.dims)
        if tensor.name == name
        else tensor
        for tensor in tensors
    ]


def without(tensors: list[TensorSignature], name: str) -> list[TensorSignature]:
    """The tensors without one of them."""
    return [tensor for tensor in tensors if tensor.name != name]


def test_both_contracts_ship() -> None:
    """They are found by name in an installed package."""
    assert set(contracts()) == {STREAM_CONTRACT, WINDOW_CONTRACT}


def test_a_stateful_graph_that_fits_tells_its_state() -> None:
    """Shapes of the state come without the batch axis and the prefix."""
    assert check_signature(manifest(), STREAM_INPUTS, STREAM_OUTPUTS) == {
        "tail": (240,),
        "memory": (4, 176),
    }


def test_a_windowed_graph_that_fits_has_no_state() -> None:
    """The window and its frames are those of the manifest."""
    assert check_signature(windowed(), WINDOW_INPUTS, WINDOW_OUTPUTS) == {}


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (without(STREAM_INPUTS, "audio"), STREAM_OUTPUTS, "no audio"),
        (STREAM_INPUTS, without(STREAM_OUTPUTS, "speech"), "no speech"),
        (STREAM_INPUTS, without(STREAM_OUTPUTS, "next.tail"), "no next.tail"),
        (without(STREAM_INPUTS, "state.tail"), STREAM_OUTPUTS, "next.tail"),
        (changed(STREAM_INPUTS, "audio", dtype="float16"), STREAM_OUTPUTS, "float16"),
        (changed(STREAM_INPUTS, "audio", dims=(None,)), STREAM_OUTPUTS, "audio: float32 [dynamic]"),
        (changed(STREAM_INPUTS, "state.tail", dims=(1, 240)), STREAM_OUTPUTS, "[1, 240]"),
        (changed(STREAM_INPUTS, "state.tail", dims=(None, None)), STREAM_OUTPUTS, "fixed"),
        (STREAM_INPUTS, changed(STREAM_OUTPUTS, "next.tail", dims=(None, 241)), "241"),
        (STREAM_INPUTS, changed(STREAM_OUTPUTS, "activity", dims=(None, None, 3)), "3]"),
        (STREAM_INPUTS, changed(STREAM_OUTPUTS, "embedding", dims=(None, None, 2, 64)), "64"),
        (
            [*STREAM_INPUTS, TensorSignature("gain", "float32", (None,))],
            STREAM_OUTPUTS,
            "gain: float32 [dynamic] besides",
        ),
    ],
)
def test_a_graph_that_does_not_fit_is_refused_with_what_was_seen(
    inputs: list[TensorSignature], outputs: list[TensorSignature], said: str
) -> None:
    """Missing, extra, retyped and reshaped tensors, and unpaired state."""
    with pytest.raises(PackageInvalid, match="allowed is") as refused:
        check_signature(manifest(), inputs, outputs)
    assert refused.value.reason == "SIGNATURE_MISMATCH"
    assert said in refused.value.message


def test_a_window_of_another_length_is_refused() -> None:
    """Five seconds where the manifest says three."""
    with pytest.raises(PackageInvalid, match="80000"):
        check_signature(
            windowed(), changed(WINDOW_INPUTS, "audio", dims=(None, 80_000)), WINDOW_OUTPUTS
        )


def test_an_unknown_contract_is_refused_with_the_known_ones() -> None:
    """The error lists what there is."""
    with pytest.raises(PackageInvalid, match=STREAM_CONTRACT) as refused:
        check_signature(manifest(contract="diarization-stream/9.0"), [], [])
    assert refused.value.reason == "CONTRACT_UNKNOWN"

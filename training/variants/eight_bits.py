"""INT8: the inner dense layers multiply whole numbers of 8 bits.

Weights have a scale for each column, activations a fixed one, from what the layer was seen to get.
A scale of each call's own, as in dynamic quantisation, would be the greatest number in the whole
batch: a stream's answer would depend on who else is served, and the registry refuses that.

The first dense layer and those with few weights stay in float32: the one hears quiet rooms, the
others say probabilities, and together they are a few percent of the weights. Weights use 7 of their
8 bits: processors without instructions for such products add two of them in 16 bits, which then
cannot overflow, so every machine gives the same sums.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from training.variants.graph import dense_layers, weights
from voiceflow.packing.graph import Graph
from voiceflow.pipeline.model import FloatArray

_LEAST_WEIGHTS: Final = 4096
"""Of a layer that is worth it."""


def to_eight_bits(model: onnx.ModelProto, heard: Sequence[FloatArray]) -> onnx.ModelProto:
    """The same graph with its inner dense layers in whole numbers.

    Args:
        model: A graph of the stream contract.
        heard: Stretches of speech, each (samples,), whole frames at 16 kHz, by which activations
            are scaled: of all loudnesses, rooms and lines that are to be served.

    Raises:
        ValueError: There is no such layer, or nothing to hear.
    """
    layers = [
        layer
        for layer in dense_layers(model.graph)[1:]
        if weights(model.graph, layer) >= _LEAST_WEIGHTS
    ]
    if not layers or not heard:
        raise ValueError(f"{len(layers)} inner dense layers and {len(heard)} stretches of speech")
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "made.onnx"
        quant_pre_process(model, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            _Heard(Graph(model.SerializeToString()), heard),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=[layer.name for layer in layers],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
        quantised = onnx.load(made)
    quantised.graph.ClearField("value_info")
    quantised.ClearField("metadata_props")
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


class _Heard(CalibrationDataReader):
    """Gives each stretch to the calibration, from the start of a stream."""

    def __init__(self, graph: Graph, heard: Sequence[FloatArray]) -> None:
        zero = graph.zero_state(1)
        self._feeds: Iterator[dict[str, FloatArray]] = (
            {"audio": stretch[None].astype(np.float32)} | zero for stretch in heard
        )

    def get_next(self) -> dict[str, FloatArray] | None:
        """The feeds of one run; None when all was heard."""
        return next(self._feeds, None)

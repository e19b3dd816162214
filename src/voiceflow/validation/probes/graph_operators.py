"""The operators that a model may be made of: what neural networks compute, and nothing random.

Left out on purpose: what draws random numbers (Bernoulli, Multinomial, Random…, Dropout), what runs
as long as its data say (Loop, Scan, SequenceMap; recurrent layers are operators of their own), text
and pictures (String…, RegexFullMatch, TfIdfVectorizer, ImageDecoder), sequences and optionals,
losses, and what only pictures need (RoiAlign, NonMaxSuppression, GridSample …).
"""

from __future__ import annotations

from typing import Final

_ELEMENTWISE: Final = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater
    GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min
    Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Sub Sum SwiGLU Swish Tan Tanh ThresholdedRelu Where Xor
"""
_REDUCING: Final = """
    ArgMax ArgMin CumProd CumSum Hardmax LogSoftmax ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax TopK
"""
_LINEAR: Final = """
    Conv ConvInteger ConvTranspose Det Einsum Gemm MatMul MatMulInteger QLinearConv QLinearMatMul
"""
_LAYERS: Final = """
    Attention AveragePool BatchNormalization CausalConvWithState GRU GlobalAveragePool GlobalLpPool
    GlobalMaxPool GroupNormalization InstanceNormalization LRN LSTM LayerNormalization
    LinearAttention LpNormalization LpPool MaxPool MeanVarianceNormalization RMSNormalization RNN
    RotaryEmbedding
"""
_SOUND: Final = "BlackmanWindow DFT HammingWindow HannWindow MelWeightMatrix STFT"
_QUANTIZED: Final = "DequantizeLinear DynamicQuantizeLinear QuantizeLinear"
_SHAPING: Final = """
    CenterCropPad Col2Im Compress Concat Constant ConstantOfShape DepthToSpace Expand EyeLike
    Flatten Gather GatherElements GatherND Identity If NonZero OneHot Pad Range Reshape Resize
    ReverseSequence ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze
    TensorScatter Tile Transpose Trilu Unique Unsqueeze
"""

ALLOWED: Final = frozenset(
    f"{_ELEMENTWISE} {_REDUCING} {_LINEAR} {_LAYERS} {_SOUND} {_QUANTIZED} {_SHAPING}".split()
)
"""By name, in the domain of ONNX itself."""

INSTEAD: Final = {
    "Dropout": "Export in evaluation mode, which leaves it out",
    "Loop": "Unroll it, or use LSTM, GRU or RNN",
    "Scan": "Unroll it, or use LSTM, GRU or RNN",
}
"""What to do without those that exports often hold."""

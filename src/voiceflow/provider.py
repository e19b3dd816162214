"""What computes a model: the names that settings, benchmarks and ONNX Runtime's adapter share.

cpu       the processor; what is promised to the bit, and what the registry tries, is this one
cuda      an NVIDIA GPU, by CUDA and cuDNN
tensorrt  an NVIDIA GPU, by TensorRT; what that cannot compute, CUDA does
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Provider: TypeAlias = Literal["cpu", "cuda", "tensorrt"]

PROVIDERS: Final[tuple[Provider, ...]] = get_args(Provider)

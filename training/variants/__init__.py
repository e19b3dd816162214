"""Makes other versions of a stateful model: in half precision, and in whole numbers of 8 bits.

The weights are those of the original, rounded; nothing is trained again. A variant is a model of
its own beside the original (`diarizer-int8`) with the original's version number, so that both are
served side by side, each from its own channels, and a step of the original's number is the same
step of the variant's. `python -m benchmarks.variants` makes them and says what they cost and earn.

Only onnx and ONNX Runtime are needed.
"""

from training.variants.make import Claim, Told, Variant, convert, make

__all__ = ["Claim", "Told", "Variant", "convert", "make"]

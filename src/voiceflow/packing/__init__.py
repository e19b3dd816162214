"""Makes a package from an ONNX file, on the machine of whoever publishes it.

What the graph itself tells (contract, tracks, sizes) is read from it, by running it here, outside
any sandbox: pack only what you have made. What only its maker knows has to be stated.
"""

from voiceflow.packing.card import UNFINISHED, is_unfinished
from voiceflow.packing.draft import read_draft, read_values
from voiceflow.packing.golden import golden_vectors
from voiceflow.packing.pack import Assumption, Packed, pack

__all__ = [
    "UNFINISHED",
    "Assumption",
    "Packed",
    "golden_vectors",
    "is_unfinished",
    "pack",
    "read_draft",
    "read_values",
]

"""Every rule that a gate can find broken: what it means, and what to change.

The part of an id before the dot names the gate. Ids are stable: programs rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from voiceflow.catalog.gates import Gate

_MANIFEST: Final = {
    "manifest.too-large": "manifest.json has more than 1 MiB. Say less in it.",
    "manifest.schema": (
        "A field of manifest.json is missing, unknown, or has a value that is not allowed. Correct"
        " the field that is named."
    ),
    "manifest.contract-unknown": (
        "The manifest names a contract that this release does not have. Name one of those that are"
        " listed."
    ),
    "manifest.contract-field": (
        "A field of the manifest does not suit the contract that it names. Set it as the contract"
        " says."
    ),
    "manifest.file-name": (
        "A file's name is no plain name. Use letters, digits, dot, hyphen and underscore."
    ),
    "manifest.file-missing": (
        "A file is missing: one that every package has is not named in the manifest, or one that is"
        " named is not there. Add it."
    ),
    "manifest.file-too-large": "A file is larger than a package may hold. Make it smaller.",
    "manifest.file-digest": (
        "A file is not the one that the manifest states. Pack again after the last change."
    ),
    "manifest.file-size": (
        "A file does not have the size that the manifest states. Pack again after the last change."
    ),
    "manifest.bump-too-small": (
        "The manifest differs from the newest earlier version's by more than the version number"
        " tells. Raise the number as the finding says."
    ),
}

_GRAPH: Final = {
    "graph.file-size": "model.onnx is larger than the gate reads. Quantize or prune the model.",
    "graph.not-onnx": (
        "The file is no ONNX model: it is empty, cut short, or something else, such as a PyTorch"
        " checkpoint. Export the model to ONNX."
    ),
    "graph.too-many-nodes": "The graph has more nodes than allowed. Simplify it.",
    "graph.too-many-parts": (
        "The file has more parts than allowed. Store constants as raw initializers, and leave out"
        " what only describes the graph."
    ),
    "graph.too-deep": "Subgraphs nest deeper than allowed. Flatten them.",
    "graph.function": (
        "The file defines functions. Inline them with onnx.inliner.inline_local_functions."
    ),
    "graph.training": "The file holds training steps. Export for inference.",
    "graph.external-data": (
        "A tensor's data are in another file. Save one file, with save_as_external_data=False."
    ),
    "graph.domain": (
        "A node's operator is not one of ONNX itself. Export with standard operators, before any"
        " optimization for one runtime."
    ),
    "graph.operator": (
        "A node's operator is none that is allowed: it is random, unbounded, or not for sound."
        " Export the model without it."
    ),
    "graph.opset": "The operator set's version is not supported. Export for one that is.",
    "graph.ir-version": "The file's IR version is not supported. Export for one that is.",
    "graph.name": (
        "A name is empty, there twice, too long, or cannot be shown. Export with other names."
    ),
    "graph.text": (
        "A name or description in the file is no text, or too long. Shorten or leave it out."
    ),
    "graph.initializer": (
        "A constant is not what it says: its numbers do not fill its shape, it is sparse, or it has"
        " a type that no model needs. Export again."
    ),
    "graph.nan": "A constant holds NaN. The weights were lost in training or export.",
    "graph.tensor-size": "A tensor is too large whatever the audio. Make it smaller.",
    "graph.signature": (
        "The graph has too many inputs or outputs, or one that is no tensor of numbers."
    ),
    "graph.checker": "onnx's checker refuses the graph. Its message says why.",
}

_CONTRACT: Final = {
    "contract.refused": (
        "ONNX Runtime does not load the graph. Its message says why; try the file with the version"
        " of ONNX Runtime that the report names."
    ),
    "contract.signature": (
        "An input or output breaks the contract: it is missing, not wanted, or has another type or"
        " shape, or a state tensor lacks its pair. Export the graph with the tensors that the"
        " contract names."
    ),
    "contract.bump-too-small": (
        "The graph's tensors differ from the newest earlier version's, which demands a major"
        " version. Raise the version number."
    ),
    "contract.state-space": (
        "The manifest claims an earlier version's state space, but with that version's state this"
        " one does not go on as if it had heard the audio itself. Name a state space of your own."
    ),
    "contract.embedding-space": (
        "The manifest claims an earlier version's embedding space, but the vectors of the two do"
        " not agree on the same speech. Name an embedding space of your own; that is a major"
        " version."
    ),
}

_BEHAVIOUR: Final = {
    "behaviour.run-failed": (
        "ONNX Runtime could not compute an answer. Its message says why; every number of rows and"
        " of whole frames must work."
    ),
    "behaviour.golden": (
        "The graph does not give the outputs that golden.npz states, or the file cannot be read."
        " Make it again from this very graph."
    ),
    "behaviour.golden-tolerance": (
        "golden.npz states a tolerance that proves nothing. State one within the bound."
    ),
    "behaviour.not-finite": (
        "An output holds NaN or infinity. Guard logarithms, divisions and roots against zero, and"
        " exponentials against large numbers."
    ),
    "behaviour.shape": (
        "An output has another shape than its input demands. Keep batch and frames as they came in."
    ),
    "behaviour.range": (
        "A probability is outside 0 to 1. End these outputs with a sigmoid or softmax."
    ),
    "behaviour.unit-length": (
        "A speaker vector is not of length 1. Divide it by its length, guarded against zero."
    ),
    "behaviour.not-repeatable": (
        "The same input gives another answer. Leave out operators that draw random numbers, and"
        " export for inference."
    ),
    "behaviour.chunked-not-whole": (
        "Audio cut into hops gives another answer than the same audio in one call. Whatever an"
        " output needs of earlier audio must come in as state and go out as state."
    ),
    "behaviour.look-ahead": (
        "An answer depends on audio after it. Make every layer causal; what the model must hear"
        " first is `look_ahead_frames`, by which its answers come later."
    ),
    "behaviour.context": (
        "After `context_seconds` of audio the model still depends on what came before. State at"
        " least the receptive field, and for a windowed model the window."
    ),
    "behaviour.batch-independence": (
        "A row's answer depends on the other rows of its batch, or on its place among them. Compute"
        " every row alone; where only last bits differ, see the finding."
    ),
}

_COST: Final = {
    "cost.call": "One call with one stream takes longer than allowed. Make the model smaller.",
    "cost.batch": "One call with the largest batch takes longer than allowed.",
    "cost.slower": "A call takes longer than the promoted version's by more than is allowed.",
    "cost.model-size": "model.onnx is larger than allowed. Quantize or prune it.",
    "cost.resident": "A process with the model loaded needs more memory than allowed.",
    "cost.run-failed": "ONNX Runtime could not compute a call. Its message says why.",
    "cost.baseline-failed": (
        "The promoted version could not be run, so there is nothing to compare with. Promote"
        " another one, or take the comparison out of the channel's policy."
    ),
    "cost.leak": "Memory grows each time that the model is loaded, run and unloaded.",
}

_ACCURACY: Final = {
    "accuracy.der": "The diarization error rate on the evaluation set is higher than allowed.",
    "accuracy.der-worse": (
        "The diarization error rate is above the promoted version's by more than is allowed."
    ),
    "accuracy.baseline-failed": (
        "The promoted version could not be run, so there is nothing to compare with. Promote"
        " another one, or take the comparison out of the channel's policy."
    ),
    "accuracy.run-failed": (
        "A recording of the evaluation set could not be diarized. The message says why."
    ),
}

_SANDBOX: Final = {
    "cpu-limit": "The model used more processor time than its gate gives. Make it faster.",
    "wall-clock": "The model gave no answer in time. It hangs, or is far too slow.",
    "memory-limit": "The model used more memory than its size justifies. Make it smaller.",
    "forbidden-call": "The model's process tried what the sandbox forbids.",
    "crash": "The model's process died. Try the file with ONNX Runtime on your machine.",
    "reply-invalid": "The model's process gave no answer that can be understood.",
}
_SANDBOXED: Final = (Gate.GRAPH, Gate.CONTRACT, Gate.BEHAVIOUR, Gate.COST, Gate.ACCURACY)

RULES: Final[Mapping[str, str]] = (
    _MANIFEST
    | _GRAPH
    | _CONTRACT
    | _BEHAVIOUR
    | _COST
    | _ACCURACY
    | {f"{gate}.{rule}": text for gate in _SANDBOXED for rule, text in _SANDBOX.items()}
)
"""What each rule means, by id."""

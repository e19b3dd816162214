"""Counts what is in an ONNX file before anything parses it.

A parser makes an object of every part, so 16 MiB of empty nodes become 1.7 GiB, and nested
functions hang the checker. The scan follows the wire format of protobuf, keeps nothing but
counters, and stops at the first count that is too high.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MAXIMUM_NODES: Final = 10_000
MAXIMUM_PARTS: Final = 400_000
"""Fields of any kind; about 40 for each node that is allowed."""
MAXIMUM_DEPTH: Final = 24
"""Messages in messages: a subgraph adds three, so seven levels of them."""


MAXIMUM_TEXT_BYTES: Final = 65_536
"""Of one name or description."""


class Malformed(Exception):
    """The bytes are no protobuf message of this form."""


class NoText(Exception):
    """A name or description is no text, or too long; says what was seen."""


class TooMany(Exception):
    """A count is too high; the scan stopped there.

    Args:
        rule: `nodes`, `parts` or `depth`.
        allowed: The bound that was passed.
    """

    def __init__(self, rule: str, allowed: int) -> None:
        super().__init__(rule)
        self.rule = rule
        self.allowed = allowed


@dataclass(eq=False, slots=True)
class _Message:
    """A kind of message: which of its fields hold messages again, and which hold text."""

    name: str
    fields: dict[int, _Message] = field(default_factory=dict)
    texts: frozenset[int] = frozenset()


# Field numbers of onnx/onnx.proto. What is not listed holds no message that repeats or nests.
_property = _Message("property", texts=frozenset({1, 2}))
_device = _Message("device", texts=frozenset({1}))
_tensor = _Message("tensor", {13: _property, 16: _property}, frozenset({8, 12}))
_sparse = _Message("sparse", {1: _tensor, 2: _tensor})
_shape = _Message("shape", {1: _Message("dimension", texts=frozenset({2, 3}))})
_type = _Message("type", texts=frozenset({6}))
_type.fields |= {
    1: _Message("tensor type", {2: _shape}),
    4: _Message("sequence type", {1: _type}),
    5: _Message("map type", {2: _type}),
    8: _Message("sparse type", {2: _shape}),
    9: _Message("optional type", {1: _type}),
}
_value = _Message("value", {2: _type, 4: _property}, frozenset({1, 3}))
_graph = _Message("graph", texts=frozenset({2, 10}))
_attribute = _Message(
    "attribute",
    {
        5: _tensor,
        6: _graph,
        10: _tensor,
        11: _graph,
        14: _type,
        15: _type,
        22: _sparse,
        23: _sparse,
    },
    frozenset({1, 13, 21}),
)
_node = _Message(
    "node", {5: _attribute, 9: _property, 10: _device}, frozenset({1, 2, 3, 4, 6, 7, 8})
)
_graph.fields |= {
    1: _node,
    5: _tensor,
    11: _value,
    12: _value,
    13: _value,
    14: _Message("quantization", {2: _property}, frozenset({1})),
    15: _sparse,
    16: _property,
}
_model = _Message(
    "model",
    {
        7: _graph,
        8: _Message("opset", texts=frozenset({1})),
        14: _property,
        20: _Message("training"),
        25: _Message("function"),
    },
    frozenset({2, 3, 4, 6}),
)
# Their presence is enough to refuse the file, so nobody looks inside.
_REFUSED_WHOLE: Final = frozenset({"training", "function"})


def scan(content: bytes) -> Counter[str]:
    """Counts the messages of a file, by kind.

    Args:
        content: Perhaps an ONNX model.

    Returns:
        How many there are of `graph`, `node`, `attribute`, `tensor`, `function`, `training` …;
        what stands inside a function or training step is not counted.

    Raises:
        Malformed: If it is no protobuf message.
        TooMany: If there are more parts, or they nest deeper, than allowed.
        NoText: If a name or description is not UTF-8, or too long.
    """
    counts: Counter[str] = Counter()
    parts = 0
    position = 0
    open_messages: list[tuple[int, _Message]] = [(len(content), _model)]
    while open_messages:
        end, message = open_messages[-1]
        if position == end:
            open_messages.pop()
            continue
        parts += 1
        if parts > MAXIMUM_PARTS:
            raise TooMany("parts", MAXIMUM_PARTS)
        key, position = _number(content, position, end)
        begin, after = _content(content, key & 7, position, end)
        position = after
        child = message.fields.get(key >> 3) if key & 7 == _SIZED else None
        if child is None:
            if key & 7 == _SIZED and key >> 3 in message.texts:
                _be_text(content[begin : min(after, begin + MAXIMUM_TEXT_BYTES + 1)])
            continue
        counts[child.name] += 1
        if counts["node"] > MAXIMUM_NODES:
            raise TooMany("nodes", MAXIMUM_NODES)
        if child.name not in _REFUSED_WHOLE:
            open_messages.append((after, child))
            position = begin
            if len(open_messages) > MAXIMUM_DEPTH:
                raise TooMany("depth", MAXIMUM_DEPTH)
    return counts


_SIZED: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}


def _be_text(content: bytes) -> None:
    if len(content) > MAXIMUM_TEXT_BYTES:
        raise NoText(f"more than {MAXIMUM_TEXT_BYTES} bytes")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoText(f"not UTF-8: {error.reason}") from error


def _content(content: bytes, kind: int, position: int, end: int) -> tuple[int, int]:
    """Where the content of a part begins and ends, by the kind that its key says."""
    if kind == _SIZED:
        size, begin = _number(content, position, end)
        after = begin + size
    elif kind == 0:
        begin = position
        _, after = _number(content, position, end)
    elif kind in _FIXED_BYTES:
        begin, after = position, position + _FIXED_BYTES[kind]
    else:
        raise Malformed(f"a part of kind {kind}")
    if after > end:
        raise Malformed("a part is longer than what it stands in")
    return begin, after


def _number(content: bytes, position: int, end: int) -> tuple[int, int]:
    """A base-128 number and where it ends."""
    value = shift = 0
    while position < end and shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise Malformed("a number is cut short or too long")

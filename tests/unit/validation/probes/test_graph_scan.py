"""Counting the parts of a file agrees with parsing it, and stops where parsing would not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes import bombs
from voiceflow.package import MODEL_FILE
from voiceflow.validation.probes.graph_scan import MAXIMUM_NODES, Malformed, TooMany, scan

ROOT = Path(__file__).resolve().parents[4]


def test_counts_are_those_of_the_parsed_graph() -> None:
    """Nodes, attributes and tensors, in branches too."""
    content = (DEFAULT_MODEL / MODEL_FILE).read_bytes()
    parsed = onnx.ModelProto.FromString(content).graph
    counts = scan(content)
    assert counts["graph"] == 1
    assert counts["node"] == len(parsed.node)
    assert counts["tensor"] == len(parsed.initializer)
    assert counts["attribute"] == sum(len(node.attribute) for node in parsed.node)
    assert scan(bombs.nested_branches(3))["graph"] == 7


def test_a_graph_in_pieces_is_counted_as_the_parser_joins_it() -> None:
    """A message that stands in a file twice is one to a parser; its nodes are added up."""
    whole = bombs.harmless()
    assert scan(whole + whole)["node"] == 2
    assert len(onnx.ModelProto.FromString(whole + whole).graph.node) == 2


@pytest.mark.parametrize("nodes", [MAXIMUM_NODES - 1, MAXIMUM_NODES])
def test_the_bound_on_nodes_is_exact(nodes: int) -> None:
    """As many as are allowed pass, and not one more."""
    content = bombs.empty_nodes(2 * nodes)  # and one that is not empty
    if nodes < MAXIMUM_NODES:
        assert scan(content)["node"] == MAXIMUM_NODES
    else:
        with pytest.raises(TooMany) as caught:
            scan(content)
        assert caught.value.rule == "nodes"


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda tail: bombs.harmless() + tail))
def test_what_the_scan_lets_through_has_no_more_parts_than_it_counted(content: bytes) -> None:
    """Whatever a parser makes of the bytes, the scan has seen every node of it."""
    try:
        counts = scan(content)
    except (Malformed, TooMany):
        return
    try:
        parsed = onnx.ModelProto.FromString(content)
    except DecodeError:
        return
    assert len(parsed.graph.node) <= counts["node"]
    assert len(parsed.functions) <= counts["function"]
    assert len(parsed.graph.initializer) <= counts["tensor"]

"""YAML for what decides about access: the plain part of it, and where each value stands.

No anchors and aliases (a file of a kilobyte could stand for gigabytes), no merge keys, no key
stated twice (readers differ in which one holds), no other tags than those of plain values.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml


class YamlRefused(Exception):
    """A text is no YAML, or more than the plain part of it.

    Args:
        message: What is wrong.
        line: Where, from 1 on.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class PlainYaml:
    """A value out of YAML, with the places of its parts."""

    value: Any
    _node: yaml.Node | None = field(repr=False)

    def line(self, place: Sequence[str | int]) -> int:
        """The line, from 1 on, of a part; of the part around it where there is no such."""
        node = self._node
        line = 1 if node is None else node.start_mark.line + 1
        for part in place:
            node = _child(node, part)
            if node is None:
                break
            line = node.start_mark.line + 1
        return line


def read_plain_yaml(text: str) -> PlainYaml:
    """Reads one document.

    Raises:
        YamlRefused: It is none, or not plain.
    """
    try:
        loader = _PlainLoader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlRefused(
            error.problem or "is no YAML", 1 if mark is None else mark.line + 1
        ) from error
    except yaml.reader.ReaderError as error:
        raise YamlRefused(
            f"holds a character that YAML does not allow, at {error.position}", 1
        ) from error
    except RecursionError as error:
        raise YamlRefused("is nested too deeply", 1) from error
    except ValueError as error:  # a date of the 40th, a number of 5000 digits
        raise YamlRefused(str(error), 1) from error
    return PlainYaml(value, node)


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Takes neither aliases nor the anchors that they would name."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Takes each key once, and nothing but texts."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is no plain text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value[:100]!r} is stated twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
    elif isinstance(node, yaml.MappingNode):
        child = next((value for key, value in node.value if key.value == part), None)
    else:
        child = None
    return child if isinstance(child, yaml.Node) else None

"""Every rule id that a gate can give is explained, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from voiceflow import validation
from voiceflow.catalog.gates import Gate
from voiceflow.validation.rules import RULES

ROOT = Path(validation.__file__).parent
ID = re.compile(rf"(?:{'|'.join(Gate)})\.[a-z]+(?:-[a-z]+)*")
FILES = {"manifest.json"}
"""Names that only look like rules."""

SANDBOXED = [gate for gate in Gate if gate is not Gate.MANIFEST]


def texts() -> Iterator[str]:
    """Every literal text in the package, apart from the table itself and docstrings."""
    for path in ROOT.rglob("*.py"):
        if path.name == "rules.py" and path.parent == ROOT:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in docstrings:
                yield str(node.value)


def emitted() -> set[str]:
    """Rule ids that the code names."""
    return {text for text in texts() if ID.fullmatch(text)} - FILES


def sandboxed() -> set[str]:
    """Rule ids that the sandbox's failures become: the gate, and the sandbox's own word."""
    words = set(texts())
    rules = {rule.partition(".")[2] for rule in RULES if rule.startswith("cost.")} & words
    return {f"{gate}.{rule}" for gate in SANDBOXED for rule in rules if f"accuracy.{rule}" in RULES}


def test_every_rule_that_is_given_is_explained() -> None:
    """A publisher can look each of them up."""
    assert emitted() <= set(RULES)


def test_every_rule_that_is_explained_can_be_given() -> None:
    """The table holds no rule that no code gives."""
    assert set(RULES) <= emitted() | sandboxed()


def test_every_failure_of_the_sandbox_is_explained() -> None:
    """For each gate that runs in it."""
    source = (ROOT / "sandbox" / "limits.py").read_text("utf-8")
    documented = re.search(r"rule: (.*?): the part", source, re.DOTALL)
    assert documented
    words = re.findall(r"`([a-z-]+)`", documented[1])
    assert len(words) >= 6
    assert {f"{gate}.{word}" for gate in SANDBOXED for word in words} <= set(RULES)


def test_a_rule_says_what_to_change() -> None:
    """In whole sentences."""
    for rule, text in RULES.items():
        assert text.endswith("."), rule
        assert len(text) > 30, rule

"""The reference shares no code with what it judges."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

MODEL = (
    "balance",
    "reads.quantities",
    "reads.reserve",
    "reads.rules",
    "reads.reading",
    "floats",
    "places",
    "model",
    "headroom",
    "capacity",
    "hall",
    "build",
    "rules",
    "goals",
    "reference",
)
"""The modules that are the reference; the others of the package bring both sides together."""


@pytest.mark.parametrize("name", MODEL)
def test_reference_imports_nothing_of_placer(repository: Path, name: str) -> None:
    """The reference imports OR-Tools, the standard library and its own modules, at any depth of its code."""
    tree = ast.parse((repository / "benchmarks" / "truth" / f"{name.replace('.', '/')}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {f"benchmarks.truth.{own}" for own in MODEL}
    others = {module for module in imported if module not in allowed and module.partition(".")[0] != "ortools"}
    assert imported and all(module.partition(".")[0] in sys.stdlib_module_names for module in others), others

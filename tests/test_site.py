"""What the site adds: an example notebook that says what its cells give, and a page of all functions."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import placer

REPOSITORY = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    """Return a file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"scripts/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_says_what_its_cells_give() -> None:
    """Run once more, every cell prints and shows what stands in the file: python scripts/run_notebook.py renews it."""
    stored = json.loads((REPOSITORY / "docs/how-to/notebook.ipynb").read_text())
    assert script("run_notebook").executed(stored)["cells"] == stored["cells"]
    assert sum(bool(cell.get("outputs")) for cell in stored["cells"]) > 6


def test_every_function_of_the_package_is_on_the_page_of_functions() -> None:
    """The page names what `import placer` offers, and where each is."""
    text = (REPOSITORY / "docs/reference/api.md").read_text()
    named = re.findall(r"^## placer\.(\w+)\n\n::: ([\w.]+)$", text, re.MULTILINE)
    assert {name for name, _ in named} == {name for name in placer.__all__ if not name.startswith("_")}
    for name, place in named:
        module, _, attribute = place.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute)), name


def test_the_first_page_leads_somewhere() -> None:
    """Every link of docs/index.md is a file."""
    text = (REPOSITORY / "docs/index.md").read_text()
    linked = re.findall(r"\]\(([^)#]+)\)", text)
    assert linked and all((REPOSITORY / "docs" / target).is_file() for target in linked)

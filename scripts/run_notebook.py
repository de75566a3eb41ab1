"""Run the example notebook and write what it prints into it: ``python scripts/run_notebook.py``; a test compares."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "docs/how-to/notebook.ipynb"


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with what its cells print and show, run one after the other in an empty folder."""
    names: dict[str, Any] = {}
    cells, number = [], 0
    with _elsewhere():
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                number += 1
                cell = {
                    **cell,
                    "execution_count": number,
                    "outputs": list(_outputs("".join(cell["source"]), names, number)),
                }
            cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, names: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """Run a cell; what its last expression is worth is its result, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "notebook", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "notebook", "eval"), names)
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
    if value is not None:
        shown = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            # The text form of a whole fleet is long: who can show tables shows the table.
            shown = {"text/html": value._repr_html_().splitlines(keepends=True), "text/plain": [type(value).__name__]}
        yield {"output_type": "execute_result", "execution_count": number, "data": shown, "metadata": {}}


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    found = executed(json.loads(NOTEBOOK.read_text()))
    NOTEBOOK.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")

"""The rules of the house: small files and folders, names that say something, nothing private shared, no circles."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("placer", "solvers", "benchmarks")
FILES_MAX = 24
"""About twenty source files a folder."""
PREFIX_MAX = 6
"""Files of a folder that share the word before the first underscore."""


def sources() -> dict[str, Path]:
    """Return module name -> file of everything that ships."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import of our own, those inside functions too, those for types alone not."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
            for alias in node.names:
                yield node.module, alias.name


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    """Return every module that ships."""
    return sources()


def test_no_import_circles(modules: dict[str, Path]) -> None:
    """Modules import each other in one direction, functions' own imports included."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in modules.items():
        for module, imported in imports(path):
            target = f"{module}.{imported}" if f"{module}.{imported}" in modules else module
            if target in modules and target != name:
                graph.add_edge(name, target)
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert circles == []


def test_no_private_name_crosses_files(modules: dict[str, Path]) -> None:
    """What begins with an underscore is used in its own file alone."""
    found = [
        f"{name}: {module}.{imported}"
        for name, path in modules.items()
        for module, imported in imports(path)
        if module.partition(".")[0] in PACKAGES and imported.startswith("_") and not imported.startswith("__")
    ]
    assert found == []


def test_folders_are_small_and_names_say_more_than_a_prefix(modules: dict[str, Path]) -> None:
    """A folder holds about twenty files, and no more than six of them begin with the same word."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in modules.values():
        if path.name != "__init__.py":
            folders[path.parent.relative_to(ROOT).as_posix()].append(path.stem)
    crowded = {folder: len(names) for folder, names in folders.items() if len(names) > FILES_MAX}
    assert crowded == {}
    shared = {
        (folder, prefix): count
        for folder, names in folders.items()
        for prefix, count in Counter(name.partition("_")[0] for name in names).items()
        if count > PREFIX_MAX
    }
    assert shared == {}


def test_the_architecture_page_names_what_is_there() -> None:
    """Every file and folder that the page names exists; a file named alone stands beside the one named before it."""
    lacking, named = [], 0
    for line in (ROOT / "docs/explanation/architecture.md").read_text().splitlines():
        beside = None
        for name in re.findall(r"`([\w/]+/[\w/.]*|\w+\.py)`", line):
            path = ROOT / name if "/" in name else (beside or ROOT) / name
            beside = path if path.is_dir() else path.parent
            named += 1
            if not path.exists():
                lacking.append(name)
    assert lacking == []
    assert named > 80


def test_a_stranger_finds_each_rule_by_a_file_name() -> None:
    """Each of the stranger's questions is answered by at least one file of code."""
    _, _, table = (ROOT / "docs/explanation/architecture.md").read_text().partition("## A stranger's questions\n")
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 15
    assert [question.strip() for question, answer in rows if not re.search(r"`[\w/]+/\w+\.py`", answer)] == []

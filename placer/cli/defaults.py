"""Defaults of options that a project or a person keeps in a file: ``placer.toml``, or ``[tool.placer]``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from placer.errors import InputError

FILE = "placer.toml"
PROJECT = "pyproject.toml"


def defaults(folder: Path) -> dict[str, Any] | None:
    """Return verb -> option -> value, of ``placer.toml`` or else of ``[tool.placer]`` in ``pyproject.toml``.

    Options are named as on the command line, ``max-moves`` like ``max_moves``. What the command line says, and what
    an environment variable such as ``PLACER_SOLVE_GOALS`` says, stands above it.

    Raises
    ------
    InputError
        The file is no TOML, or a section is no table.
    """
    own, project = folder / FILE, folder / PROJECT
    said: Any = _read(own) if own.is_file() else None
    if said is None and project.is_file():
        said, own = _read(project).get("tool", {}).get("placer"), project
    if said is None:
        return None
    if not isinstance(said, dict) or not all(isinstance(options, dict) for options in said.values()):
        raise InputError("defaults stand under the verb", file=str(own), cure="write [solve] and below it: goals = …")
    return {
        verb: {option.replace("-", "_"): value for option, value in options.items()} for verb, options in said.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=str(path)) from None

"""Defaults of options that a project or a person keeps in a file: ``placer.toml``, or ``[tool.placer]``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from placer.errors import InputError

FILE = "placer.toml"
PROJECT = "pyproject.toml"
PREFIX = "PLACER"
"""What the names of environment variables begin with."""


def defaults(folder: Path, root: TyperGroup, words: Sequence[str]) -> dict[str, Any] | None:
    """Return verb -> option -> value, of ``placer.toml`` or else of ``[tool.placer]`` in ``pyproject.toml``.

    Options are named as on the command line, ``max-moves`` like ``max_moves``. What the command line says, and what
    an environment variable such as ``PLACER_SOLVE_GOALS`` says, stands above it.

    Parameters
    ----------
    root, words : the verbs, and the command line without options: only the verb that it names knows its options.

    Raises
    ------
    InputError
        The file is no TOML, a section is no table, or of no verb; the verb at hand has no such option.
    """
    own, project = folder / FILE, folder / PROJECT
    said: Any = _read(own) if own.is_file() else None
    if said is None and project.is_file():
        said, own = _read(project).get("tool", {}).get("placer"), project
    if said is None:
        return None
    if not isinstance(said, dict) or not all(isinstance(options, dict) for options in said.values()):
        raise InputError("defaults stand under the verb", file=str(own), cure="write [solve] and below it: goals = …")
    if strange := [verb for verb in said if verb not in root.commands]:
        raise InputError(f"there is no verb {strange[0]!r}", file=str(own), cure="see: placer --help")
    at_hand = words[0] if words else ""
    return {
        verb: _named(root.commands[verb], options, verb, str(own)) if verb == at_hand else options
        for verb, options in said.items()
    }


def _named(command: Any, said: dict[str, Any], verb: str, file: str) -> dict[str, Any]:
    """Return options by the names of a verb's parameters; a table in it is of a verb below."""
    below = command.commands if isinstance(command, TyperGroup) else {}
    known = {option: parameter.name for parameter in command.params for option in _options(parameter)}
    found: dict[str, Any] = {}
    for name, value in said.items():
        plain = name.replace("-", "_")
        if name in below and isinstance(value, dict):
            # Verbs below that are not at hand are listed only, and know no options.
            given = below[name]
            found[name] = _named(given, value, f"{verb} {name}", file) if given.params else value
        elif plain in known:
            found[known[plain]] = value
        else:
            cure = f"see: placer {verb} --help"
            raise InputError(f"{verb} has no option {name!r}", file=file, cure=cure)
    return found


def name_variables(command: Any, prefix: str) -> None:
    """Give options variables of the names that the command line has, where parameters have other ones."""
    for parameter in command.params:
        names = list(_options(parameter))
        if parameter.name not in names and names:
            parameter.envvar = f"{prefix}_{names[0]}".upper()
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, f"{prefix}_{name}")


def _options(parameter: Any) -> Iterator[str]:
    """Yield the names of an option on the command line, as variables have them; an argument's own name."""
    for option in parameter.opts:
        if option.startswith("--") or not option.startswith("-"):
            yield option.lstrip("-").replace("-", "_")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=str(path)) from None

"""Write docs/reference/cli.md from the code: ``python scripts/cli_reference.py``; a test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperGroup

from placer.cli.app import EXIT_CODES, root_command
from placer.cli.terminal import Terminal

OUTPUT = Path(__file__).parent.parent / "docs/reference/cli.md"
WIDTH = 100


def reference() -> str:
    """Return the whole page."""
    root = root_command(None, Terminal(verb=""))
    lines = [
        "# The command line",
        "",
        "Made by `python scripts/cli_reference.py`; do not edit. Standard output carries the result alone, standard",
        "error the rest. `-` stands for standard input or output. Nothing overwrites a file without `--force`.",
        "",
        "```text",
        *EXIT_CODES.splitlines(),
        "```",
        "",
    ]
    for names, command in commands(root, ()):
        lines += [
            f"{'#' * (1 + len(names))} {' '.join(('placer', *names))}",
            "",
            "```text",
            help_of(command, names),
            "```",
            "",
        ]
    return "\n".join(lines)


def commands(group: TyperGroup, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    """Yield every verb and sub-verb with its names, in the order of help."""
    for name, command in group.commands.items():
        yield (*above, name), command  # type: ignore[misc]
        if isinstance(command, TyperGroup):
            yield from commands(command, (*above, name))


def help_of(command: typer.core.TyperCommand, names: tuple[str, ...]) -> str:
    """Return the help of one verb as it is printed on a wide terminal."""
    context = command.make_context(
        " ".join(("placer", *names)), [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())


if __name__ == "__main__":
    OUTPUT.write_text(reference())

"""Write docs/reference/cli.md and the man page from the code: ``python scripts/cli_reference.py``; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperGroup

from placer.cli.app import EXIT_CODES, VERBS, root_command
from placer.cli.terminal import Terminal

OUTPUT = Path(__file__).parent.parent / "docs/reference/cli.md"
MAN_PAGE = OUTPUT.with_name("placer.1")
WIDTH = 100
MAN_WIDTH = 76


def reference() -> str:
    """Return the whole page."""
    root = root_command(None, Terminal(verb=""))
    lines = [
        "# The command line",
        "",
        "Made by `python scripts/cli_reference.py`; do not edit. Standard output carries the result alone, standard",
        "error the rest. `-` stands for standard input or output. Nothing overwrites a file without `--force`.",
        "On a terminal what is longer than it is paged, by `PAGER` or else `less`; `PAGER=cat` turns that off.",
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


def man_page() -> str:
    """Return the page in the man macros: the verbs with their help, exit codes, files and variables."""
    root = root_command(None, Terminal(verb=""))
    lines = [
        '.TH PLACER 1 "" "placer" "User Commands"',
        ".SH NAME",
        "placer \\- place KVM virtual machines on hosts, NUMA nodes and CPUs, and prove how good the plan is",
        ".SH SYNOPSIS",
        ".B placer",
        "[OPTIONS] VERB [ARGUMENTS]",
        ".SH VERBS",
    ]
    for verb in VERBS:
        lines += [".TP", f".B {verb.name}", _plain(verb.help)]
    for verb in VERBS:
        lines += [f".SH PLACER {verb.name.upper()}", ".nf", *_help(root.commands[verb.name], verb.name), ".fi"]
    lines += [
        ".SH EXIT STATUS",
        *map(_plain, EXIT_CODES.splitlines()),
        ".SH FILES",
        ".TP",
        ".B placer.toml, pyproject.toml",
        "Defaults of options, a table a verb.",
        ".SH ENVIRONMENT",
        ".TP",
        ".B PLACER_VERB_OPTION",
        "Default of an option, such as PLACER_SOLVE_TIME_LIMIT.",
        ".TP",
        ".B NO_COLOR, FORCE_COLOR, COLUMNS",
        "As other tools take them.",
        ".TP",
        ".B PAGER",
        "What shows on a terminal what is longer than it; less if not said. cat turns paging off.",
        "",
    ]
    return "\n".join(lines)


def _help(command: typer.core.TyperCommand, name: str) -> list[str]:
    context = command.make_context(
        f"placer {name}", [], resilient_parsing=True, terminal_width=MAN_WIDTH, max_content_width=MAN_WIDTH
    )
    return [_plain(line.rstrip()) for line in command.get_help(context).strip().splitlines()]


def _plain(text: str) -> str:
    """Return text that troff prints as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    OUTPUT.write_text(reference())
    MAN_PAGE.write_text(man_page())

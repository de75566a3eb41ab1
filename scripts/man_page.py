"""Write the man page, docs/reference/placer.1, from the code: ``python scripts/man_page.py``; a test compares them."""

from __future__ import annotations

from pathlib import Path

import typer

from placer.cli.app import EXIT_CODES, VERBS, root_command
from placer.cli.terminal import Terminal

OUTPUT = Path(__file__).parent.parent / "docs/reference/placer.1"
WIDTH = 76


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
        "",
    ]
    return "\n".join(lines)


def _help(command: typer.core.TyperCommand, name: str) -> list[str]:
    context = command.make_context(
        f"placer {name}", [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    return [_plain(line.rstrip()) for line in command.get_help(context).strip().splitlines()]


def _plain(text: str) -> str:
    """Return text that troff prints as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    OUTPUT.write_text(man_page())

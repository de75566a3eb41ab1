"""The frame of the command line: help, versions, usage errors, the envelope, exit codes."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.cli import app, verbs
from placer.cli.answer import Answer
from placer.cli.app import IMPORT_VERBS, VERBS, application
from placer.cli.terminal import Terminal
from placer.cli.verbs import Verb, load
from placer.errors import (
    DifferenceError,
    Fault,
    ImpossibleError,
    InputError,
    MissingToolError,
    NothingFoundError,
    PartialError,
    PlacerError,
    RefusedPlanError,
    RequirementError,
)

ALL_VERBS = [(verb.name,) for verb in VERBS if not verb.verbs] + [("import", verb.name) for verb in IMPORT_VERBS]
Placer = Callable[..., Any]
HEAVY = {"ortools", "pandas", "networkx", "numpy", "pyarrow", "distributed", "libvirt"}


def leaf_verbs() -> list[Verb]:
    """Return every verb that has a function."""
    return [verb for verb in VERBS if not verb.verbs] + list(IMPORT_VERBS)


@pytest.mark.parametrize("words", ALL_VERBS, ids=" ".join)
def test_every_verb_has_help(placer: Placer, words: tuple[str, ...]) -> None:
    """Each verb's help opens with its line in the table and lists the options that every verb has."""
    run = placer(*words, "--help")
    assert run.code == 0
    assert run.err == ""
    for option in ("--json", "-q, --quiet", "-v, --verbose", "--no-color"):
        assert option in run.out
    assert max(map(len, run.out.splitlines())) <= 80


@pytest.mark.parametrize("verb", leaf_verbs(), ids=lambda verb: verb.name)
def test_every_verb_is_documented(verb: Verb) -> None:
    """Each verb has a docstring for its own page, and a line that the list of verbs need not cut."""
    assert (load(verb).__doc__ or "").strip()
    assert verb.help.endswith(".") and len(verb.help) <= 64


def test_help_lists_every_verb(placer: Placer) -> None:
    """``placer --help`` names every verb and all exit codes; bare ``placer`` prints the same and is a usage error."""
    run = placer("--help")
    lines = run.out.partition("Commands:")[2].partition("Exit codes")[0].splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == [verb.name for verb in VERBS]
    assert all(f"{code} " in run.out for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130))
    bare = placer()
    assert (bare.code, bare.out) == (2, run.out)


@pytest.mark.parametrize("words", ALL_VERBS, ids=" ".join)
def test_help_of_a_verb_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    """The help of a verb answers without solver, tables, graphs and numbers."""
    script = "import sys; from placer.cli.app import main; main(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules))"
    command = [sys.executable, "-c", script, *words, "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    assert {name.partition(".")[0] for name in run.stderr.split()}.isdisjoint(HEAVY)


def test_version(placer: Placer) -> None:
    """``--version`` prints one line."""
    run = placer("--version")
    assert run.code == 0
    assert run.out.startswith("placer ") and run.out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shw"], "No such command 'shw'. Did you mean 'show'?"),
        (["--nope"], "No such option: --nope"),
        (["show"], "Missing argument 'FILE'"),
        (["show", "x", "--format", "pdf"], "'--format'"),
        (["import"], "Missing command"),
        (["import", "libvrt"], "Did you mean 'libvirt'?"),
        (["solve", "fleet.yaml"], "'--output' / '-o'"),
    ],
)
def test_usage_errors(placer: Placer, arguments: list[str], message: str) -> None:
    """A command line that cannot be understood is one line with the cure, exit 2; JSON where that is asked for."""
    run = placer(*arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert message in run.err and "--help" in run.err
    asked = placer("--json", *arguments)
    assert asked.code == 2
    assert asked.envelope["ok"] is False
    assert asked.envelope["error"]["code"] == "usage"
    assert message in asked.envelope["error"]["faults"][0]["message"]


ERRORS = [
    (PlacerError, "fault", 1),
    (RefusedPlanError, "refused-plan", 1),
    (InputError, "input", 2),
    (ImpossibleError, "impossible", 3),
    (NothingFoundError, "nothing-found", 4),
    (RequirementError, "requirement", 5),
    (DifferenceError, "difference", 6),
    (MissingToolError, "missing", 7),
    (PartialError, "partial", 8),
]


def give(monkeypatch: pytest.MonkeyPatch, function: Callable[[Terminal], Answer]) -> None:
    """Put a function in the place of every verb."""
    monkeypatch.setattr(verbs, "load", lambda _verb: function)


@pytest.mark.parametrize(
    ("error", "code", "exit_code"), ERRORS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_errors_become_lines_and_exit_codes(
    placer: Placer, monkeypatch: pytest.MonkeyPatch, error: type[PlacerError], code: str, exit_code: int
) -> None:
    """Every error of the tree has its exit code and a line a fault; under --json also its code and all its faults."""
    faults = [
        Fault(message="is wrong", file="a.yaml", line=3, field="hosts[0]", cure="mend it"),
        Fault(message="is missing"),
    ]

    def fail(terminal: Terminal) -> Answer:
        raise error(faults)

    give(monkeypatch, fail)
    run = placer("solvers")
    assert (run.code, run.out) == (exit_code, "")
    assert run.err.splitlines() == ["a.yaml:3: hosts[0]: is wrong; mend it", "placer: is missing"]
    asked = placer("solvers", "--json")
    assert asked.code == exit_code
    assert asked.envelope == {
        "schema": "placer.solvers/v1",
        "ok": False,
        "error": {
            "code": code,
            "faults": [
                {"message": "is wrong", "file": "a.yaml", "line": 3, "field": "hosts[0]", "cure": "mend it"},
                {"message": "is missing", "file": None, "line": None, "field": None, "cure": None},
            ],
        },
    }


def test_a_result_can_stand_beside_a_failure(placer: Placer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed check still prints what it measured, as text and in the envelope."""

    def differ(terminal: Terminal) -> Answer:
        return Answer(data=lambda: {"measured": 1}, text="measured 1", failure=DifferenceError("differs"))

    give(monkeypatch, differ)
    run = placer("solvers")
    assert (run.code, run.out, run.err) == (6, "measured 1\n", "placer: differs\n")
    envelope = placer("solvers", "--format", "json").envelope
    assert (envelope["ok"], envelope["result"], envelope["error"]["code"]) == (False, {"measured": 1}, "difference")


def test_our_own_fault_is_one_line(placer: Placer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw ends with exit 1 and one line; the traceback comes with -v alone."""

    def crash(terminal: Terminal) -> Answer:
        raise ZeroDivisionError("division by zero")

    give(monkeypatch, crash)
    run = placer("solvers")
    assert run.code == 1
    assert run.err.count("\n") == 1 and "ZeroDivisionError" in run.err
    assert "Traceback" in placer("solvers", "-v").err
    assert placer("solvers", "--json").envelope["error"]["code"] == "internal"


def test_interrupt_and_broken_pipe(placer: Placer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is exit 130; a reader that went away is exit 141, without a traceback."""

    def interrupted(terminal: Terminal) -> Answer:
        raise KeyboardInterrupt

    give(monkeypatch, interrupted)
    assert placer("solvers").code == 130
    script = "import sys; from placer.cli.app import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    # Nothing was said, and nothing failed: 141 is what a shell reports, 0 that all was written before it went away.
    assert process.wait(timeout=1800) in (0, 141)
    process.stderr.close()


@pytest.mark.parametrize("arguments", [["-q", "solvers"], ["solvers", "-q"]])
def test_quiet_before_and_after_the_verb(placer: Placer, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """The common options are taken on either side of the verb; -q silences notes and warnings, not results."""

    def speak(terminal: Terminal) -> Answer:
        terminal.note("a note")
        terminal.warn(["careful"])
        terminal.detail("a detail")
        return Answer(data=dict, text="the result")

    give(monkeypatch, speak)
    assert placer("solvers").err == "a note\nwarning: careful\n"
    assert placer("solvers", "-v").err == "a note\nwarning: careful\na detail\n"
    run = placer(*arguments)
    assert (run.out, run.err) == ("the result\n", "")


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console on a terminal has colour, not with --no-color, and a pipe never has any."""

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for color, stream, coloured in ((True, Tty(), True), (False, Tty(), False), (True, io.StringIO(), False)):
        Terminal(color=color, out=stream).console().print("text", style="red on blue")
        assert ("\x1b[" in stream.getvalue() and "31" in stream.getvalue()) is coloured


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colour, however it is asked for; bold may stay, and a pipe has neither."""

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    for stream, bold in ((Tty(), True), (io.StringIO(), False)):
        Terminal(out=stream).console().print("text", style="bold red on blue")
        escapes = re.findall(r"\x1b\[([0-9;]*)m", stream.getvalue())
        assert set(escapes) == ({"1", "0"} if bold else set())


def test_a_verb_that_was_only_listed_cannot_run() -> None:
    """The stand-ins that help lists raise if they are ever called: no verb does nothing in silence."""
    with pytest.raises(RuntimeError, match="listed"):
        verbs._listed()


def test_application_can_load_all_verbs() -> None:
    """The whole application can be built at once, as the generated reference needs it."""
    assert application(None, Terminal()) is not None
    assert app.VERBS == VERBS


def test_names_that_the_terminal_cannot_print_are_escaped(tmp_path: Path) -> None:
    """Under an ASCII terminal a fault about a strange name is printed escaped instead of ending in a traceback."""
    name = tmp_path / "höst-\udcff.yaml"
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from placer.cli.app import main; sys.exit(main(sys.argv[1:]))",
            "show",
            name,
        ],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        timeout=1800,
        check=False,
    )
    assert run.returncode == 2
    assert b"Traceback" not in run.stderr and b"h\\xf6st" in run.stderr

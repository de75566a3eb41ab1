"""Help in every spelling, defaults in files and variables, completion, files of the wrong kind named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.cli.app import root_command
from placer.cli.defaults import defaults
from placer.cli.terminal import Terminal

PLACER = Path(sys.executable).parent / "placer"
FLEET = """
schema: placer.inventory/v1
hosts: [{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]}]
vms: [{name: v, vcpus: 2, memory: 1GiB}]
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs placer in a folder of its own that holds a fleet."""
    (tmp_path / "fleet.yaml").write_text(FLEET)

    def placer(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables}
        return subprocess.run([PLACER, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return placer


def goals_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the goals of the plan that was printed."""
    assert done.returncode == 0, done.stderr
    return [goal["name"] for goal in json.loads(done.stdout)["goals"]]


def test_help_in_every_spelling(run: Run) -> None:
    """``help solve``, ``solve -h`` and ``solve --help`` print the same."""
    texts = {run(*words).stdout for words in (("help", "solve"), ("solve", "-h"), ("solve", "--help"))}
    assert len(texts) == 1 and "--goals" in texts.pop()
    assert run("help").stdout == run("-h").stdout


def test_help_names_no_types_of_python() -> None:
    """Help says what a value means, such as N or FILE, nowhere how Python calls it."""
    helps = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()  # a test holds it to the code
    assert not re.findall(r"<(?:int|str|float|list|file)[^|>]*>", helps)


@pytest.mark.parametrize("verb", ["fit", "maintain", "minfleet", "explain", "solve", "whatif"])
def test_time_limits_are_durations(run: Run, verb: str) -> None:
    """Every verb with a time limit reads 90s, 5m and a bare number alike, and refuses others in the same words."""
    needed = {"minfleet": ["--shapes", "h"], "fit": ["--flavor", "1x1GiB"], "solve": ["-o", "p.json"]}
    done = run(verb, "fleet.yaml", *needed.get(verb, []), "--time-limit", "soon")
    assert done.returncode == 2 and "'soon' is no duration; write it like \"90s\"" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "fleet.yml"), "fleet.yml: the inventory does not exist; did you mean 'fleet.yaml'?"),
        (("show", "fleet.yml"), "did you mean 'fleet.yaml'?"),
        (("explain", "gone.json"), "placer solve FLEET -o plan.json makes one"),
        (("explain", "notes.txt"), "notes.txt:1: is no plan, for it is not JSON"),
        (("headroom", "notes.txt"), "the first line of one is: schema: placer.inventory/v1"),
    ],
)
def test_a_file_that_is_missing_or_no_document_is_told_with_a_cure(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """A file that is not there is answered with the one beside it that is nearly called so, or with what makes one."""
    (tmp_path / "notes.txt").write_text("hello\n")
    done = run(*words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_the_module_is_the_command() -> None:
    """``python -m placer`` runs, and the version comes as JSON too."""
    done = subprocess.run([sys.executable, "-m", "placer", "--json", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert set(json.loads(done.stdout)["result"]) == {"version"}


def test_defaults_come_from_file_variable_and_command_line(run: Run, tmp_path: Path) -> None:
    """A file gives defaults, a variable stands above it, the command line above both."""
    solve = ("solve", "fleet.yaml", "-o", "-", "-q")
    (tmp_path / "placer.toml").write_text('[solve]\ngoals = "placed"\n')
    assert goals_of(run(*solve)) == ["placed"]
    assert goals_of(run(*solve, PLACER_SOLVE_GOALS="placed,hosts")) == ["placed", "hosts"]
    assert goals_of(run(*solve, "--goals", "hosts", PLACER_SOLVE_GOALS="placed")) == ["hosts"]
    (tmp_path / "placer.toml").unlink()
    (tmp_path / "pyproject.toml").write_text('[tool.placer.solve]\ngoals = "hosts"\n')
    assert goals_of(run(*solve)) == ["hosts"]


def test_options_are_named_as_on_the_command_line(run: Run, tmp_path: Path) -> None:
    """In the file and in variables too, whatever they are called inside; a verb below has a table of its own."""
    many = "schema: placer.inventory/v1\nhosts:\n  - {name: h, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}]}\nvms:\n"
    rows = [f"  - {{name: v{n}, vcpus: 1, memory: {n + 1}MiB}}\n" for n in range(14)]
    (tmp_path / "many.yaml").write_text(many + "".join(rows))
    assert "and 4 more: --all" in run("show", "many.yaml").stdout
    assert "more: --all" not in run("show", "many.yaml", PLACER_SHOW_ALL="1").stdout
    (tmp_path / "placer.toml").write_text("[show]\nall = true\n[import.libvirt]\nforce = true\n")
    assert "more: --all" not in run("show", "many.yaml").stdout
    told = run("import", "libvirt", "--capabilities", "none", "--domains", "none", "-o", "x.yaml").stderr
    assert "no option" not in told and "none" in told


def test_the_documented_defaults_are_options_that_there_are(tmp_path: Path) -> None:
    """The file that the page on defaults shows is taken by every verb that it names."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "defaults.md"
    text = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "placer.toml").write_text(text)
    root = root_command(None, Terminal(verb=""))
    verbs = list(tomllib.loads(text))
    assert verbs == ["solve", "whatif"]
    for verb in verbs:
        assert defaults(tmp_path, root, [verb])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[solve\n", "cannot be read"),
        ("solve = 3\n", "defaults stand under the verb"),
        ('[solve]\ngaols = "placed"\n', "solve has no option 'gaols'"),
        ('[slove]\ngoals = "placed"\n', "there is no verb 'slove'"),
    ],
)
def test_faults_of_the_file_are_told(run: Run, tmp_path: Path, text: str, said: str) -> None:
    """A file that is no TOML, or names what there is not, is bad input and not passed over."""
    (tmp_path / "placer.toml").write_text(text)
    done = run("solve", "fleet.yaml", "-o", "-")
    assert done.returncode == 2 and said in done.stderr


def test_shells_complete_verbs_and_options(run: Run) -> None:
    """The completion of a shell gets verbs, and the options of the verb at hand."""
    asked = {"_PLACER_COMPLETE": "complete_bash"}
    assert run(COMP_WORDS="placer sol", COMP_CWORD="1", **asked).stdout.split() == ["solve", "solvers"]
    found = run(COMP_WORDS="placer solve --max", COMP_CWORD="2", **asked).stdout.split()
    assert "--max-moves" in found and all(word.startswith("--max") for word in found)


def test_files_of_other_tools_are_named_for_what_they_are(placer: Callable[..., Any], tmp_path: Path) -> None:
    """Where a fleet, a plan, a scenario, a journal or a tar is asked, one line calls it by its name."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("schema: placer.inventory/v1\nhosts:\n  - {name: h, nodes: [{id: 0, cpus: 0-1, memory: 4GiB}]}\n")
    files = {
        "libvirt domain XML": b"<domain type='kvm'><name>x</name></domain>\n",
        "XML": b"<html></html>\n",
        "a table in text": b"name,host,vcpus\na,h,1\n",
        "a binary file": b"\x7fELF\x02\x01\x01" + bytes(100),
        "a zip archive or a workbook": b"PK\x03\x04" + bytes(100),
        "a tar archive": b"\x1f\x8b" + bytes(100),
        "a document of Kubernetes": b"apiVersion: v1\nkind: Pod\n",
        "a certificate": b'{"certificate": {}, "schema": "placer.certificate/v1"}\n',
        "a directory": None,
    }
    given = tmp_path / "given"
    for name, content in files.items():
        if content is None:
            given.unlink()
            given.mkdir()
        else:
            given.write_bytes(content)
        for words in (("check", given), ("check", fleet, given), ("whatif", fleet, given), ("rollback", given)):
            if (words[0], content) == ("rollback", None):
                continue
            run = placer(*words)
            assert run.code == 2 and f"is {name}; " in run.err and "belongs here" in run.err, (words, run.err)
            assert len(run.err.splitlines()) == 1, run.err
    given.rmdir()
    given.write_bytes(files["a table in text"] or b"")
    run = placer("import", "libvirt", given, "-o", "-")
    assert run.code != 0 and "is a table in text; a tar of placer collect belongs here" in run.err
    assert "its kinds are libvirt, openstack" in placer("import", given, "-o", "-").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "fleet.yaml"), "is an inventory; a plan belongs here"),
        (("whatif", "fleet.yaml", "plan.json"), "is a plan; a scenario belongs here"),
        (("report", "plan.json", "--compare", "plan.json", "-o", "x.html"), "is a plan; a comparison belongs here"),
    ],
)
def test_a_file_of_the_wrong_kind_is_named_for_what_it_is(run: Run, words: tuple[str, ...], said: str) -> None:
    """What was given is called by its name, and what makes the right one is said."""
    assert run("solve", "fleet.yaml", "-o", "plan.json", "-q").returncode == 0
    done = run(*words)
    assert done.returncode == 2 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1

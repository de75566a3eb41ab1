"""The command ``placer``: the table of verbs, the options before the verb, and the exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from placer.cli.allocator import keep_freed_memory
from placer.cli.defaults import PREFIX, defaults, name_variables
from placer.cli.terminal import Terminal
from placer.cli.verbs import Verb, build, guarded
from placer.errors import Fault, InputError

IMPORT_VERBS = (
    Verb(
        name="libvirt",
        help="From capabilities and domain XML, or tars of placer collect.",
        target="placer.cli.sources.import_:libvirt",
    ),
    Verb(
        name="openstack", help="From the JSON of the openstack command.", target="placer.cli.sources.import_:openstack"
    ),
    Verb(
        name="proxmox",
        help="From the JSON of pvesh, and VM configurations.",
        target="placer.cli.sources.import_:proxmox",
    ),
    Verb(name="kubevirt", help="From the JSON of kubectl.", target="placer.cli.sources.import_platforms:kubevirt"),
    Verb(
        name="opennebula",
        help="From the JSON of onehost and onevm.",
        target="placer.cli.sources.import_platforms:opennebula",
    ),
    Verb(name="ovirt", help="From the JSON of oVirt's REST API.", target="placer.cli.sources.import_platforms:ovirt"),
    Verb(name="incus", help="From the JSON of incus query.", target="placer.cli.sources.import_platforms:incus"),
    Verb(name="csv", help="From tables of hosts and VMs, with a map.", target="placer.cli.sources.import_:tables"),
    Verb(name="xlsx", help="The same from workbooks.", target="placer.cli.sources.import_:tables"),
)

VERBS = (
    Verb(name="show", help="Draw a host, a domain, its CPU affinity or a plan.", target="placer.cli.plans.show:show"),
    Verb(name="import", help="Make an inventory from what other tools tell.", verbs=IMPORT_VERBS),
    Verb(
        name="collect",
        help="Print a read-only script that gathers one host.",
        target="placer.cli.sources.collect:collect",
    ),
    Verb(name="solve", help="Plan a fleet and prove how good the plan is.", target="placer.cli.plans.solve:solve"),
    Verb(name="check", help="Verify a plan independently, or validate a fleet.", target="placer.cli.plans.check:check"),
    Verb(
        name="export", help="Write a plan as libvirt XML, scripts or tables.", target="placer.cli.plans.export:export"
    ),
    Verb(
        name="whatif",
        help="Compare a fleet with what it would be after edits.",
        target="placer.cli.questions.whatif:whatif",
    ),
    Verb(name="report", help="Write a plan as one HTML file with maps.", target="placer.cli.plans.report:report"),
    Verb(
        name="serve",
        help="Explore a plan or a fleet in the browser, the engine behind it.",
        target="placer.cli.plans.serve:serve",
    ),
    Verb(name="usage", help="List VMs that use little of what they have.", target="placer.cli.questions.usage:usage"),
    Verb(name="fit", help="Find places and pins for new VMs.", target="placer.cli.questions.fit:fit"),
    Verb(
        name="headroom",
        help="Count how many more VMs of a flavor fit.",
        target="placer.cli.questions.headroom:headroom",
    ),
    Verb(
        name="minfleet", help="Find the smallest fleet for a demand.", target="placer.cli.questions.minfleet:minfleet"
    ),
    Verb(name="moves", help="Order a plan's moves in waves.", target="placer.cli.plans.moves:moves"),
    Verb(name="maintain", help="Empty hosts in waves, each once.", target="placer.cli.questions.maintain:maintain"),
    Verb(name="diff", help="Compare two plans, or now and a plan.", target="placer.cli.plans.diff:diff"),
    Verb(
        name="explain",
        help="Say why a VM is where it is, or what rules cost.",
        target="placer.cli.plans.explain:explain",
    ),
    Verb(name="runway", help="Find how many months of growth fit.", target="placer.cli.questions.runway:runway"),
    Verb(
        name="pareto", help="Weigh remote access against hosts and moves.", target="placer.cli.questions.pareto:pareto"
    ),
    Verb(
        name="apply",
        help="Show or make a plan's changes on live libvirt hosts.",
        target="placer.cli.running.apply:apply",
    ),
    Verb(name="verify", help="Compare a plan with its live hosts.", target="placer.cli.running.verify:verify"),
    Verb(name="rollback", help="Take an apply back, from its journal.", target="placer.cli.running.rollback:rollback"),
    Verb(name="bench", help="Run benchmarks.", target="placer.cli.about.bench:bench"),
    Verb(name="demo", help="Run the main job on bundled data.", target="placer.cli.about.demo:demo"),
    Verb(name="schema", help="Print the JSON schema of a document.", target="placer.cli.about.schema:schema"),
    Verb(name="solvers", help="List the engines and what each can do.", target="placer.cli.about.solvers:solvers"),
)

EXIT_CODES = """\
Exit codes: 0 fine; 1 a fault of placer's own; 2 usage or bad input; 3 a required goal is proven impossible;
4 nothing found within the limit; 5 a required goal or gap was not met; 6 differences found; 7 an extra or a
tool is missing; 8 partly done; 130 interrupted."""


COMPLETES = "_PLACER_COMPLETE"
"""Set by the scripts that `--install-completion` and `--show-completion` give to shells."""
_COLLECT_AFTER = 100_000
"""Objects between two garbage collections. A fleet is millions of objects that stay: looking through them after every
700 new ones, as Python does by default, takes a third of the time of `check`."""


class UsageFault(InputError):
    """A command line that cannot be understood."""

    code = "usage"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run placer and return its exit code."""
    gc.set_threshold(_COLLECT_AFTER)
    keep_freed_memory()
    given = _asked_for_help(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown escaped; it must not end the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    words = _words(given)
    terminal = Terminal(verb=words[0] if words and words[0] in {verb.name for verb in VERBS} else "")
    terminal.json = _asks_for_json(given)
    return guarded(lambda: _run(given, words, terminal), terminal)


def _asked_for_help(given: list[str]) -> list[str]:
    """Turn ``help VERB`` into what shows it."""
    return [*given[1:], "--help"] if given[:1] == ["help"] else given


def _words(given: Sequence[str]) -> list[str]:
    """Return the command line without its options; a shell that completes one passes it in the environment."""
    if COMPLETES in os.environ:
        given = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]
    return [word for word in given if not word.startswith("-")]


def _run(given: list[str], words: list[str], terminal: Terminal) -> int:
    root = root_command(words, terminal)
    # Help names options alone: a variable behind each would double its length.
    helping = not given or bool({"-h", "--help"} & set(given))
    if not helping:
        name_variables(root, PREFIX)
    try:
        code = root.main(
            args=given or ["--help"],
            prog_name="placer",
            standalone_mode=False,
            auto_envvar_prefix=None if helping else PREFIX,
            default_map=defaults(Path(), root, words),
        )
    except SystemExit as error:
        # The command-line library ends with 1 where nobody reads any more, as in `placer ... | head`.
        if isinstance(error.__context__, BrokenPipeError):
            raise BrokenPipeError from None
        raise
    except TyperException as error:
        # Choices come on lines of their own, which a message of one line would show as signs.
        said = " ".join(error.format_message().split())
        raise UsageFault([Fault(message=said.rstrip("."), cure=_cure(words))]) from None
    if not given:
        return UsageFault.exit_code
    return code if isinstance(code, int) else 0


def root_command(words: Sequence[str] | None, terminal: Terminal) -> TyperGroup:
    """Return the command with its verbs in the order of the table; `words` as for `build`."""
    root = typer.main.get_command(application(words, terminal))
    assert isinstance(root, TyperGroup)
    root.commands = {verb.name: root.commands[verb.name] for verb in VERBS}
    return root


def application(words: Sequence[str] | None, terminal: Terminal) -> typer.Typer:
    """Return the whole application; `words` names the verb to import, None imports all of them (see `build`)."""
    app = build(VERBS, words, terminal, completion=True)

    @app.callback(epilog=EXIT_CODES)
    def before_the_verb(
        json: Annotated[bool, typer.Option("--json", help="Print one JSON envelope, on failure too.")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")] = False,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")] = False,
        no_color: Annotated[bool, typer.Option("--no-color", help="Print without colours.")] = False,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
        ] = False,
    ) -> None:
        """Place KVM virtual machines on hosts, NUMA nodes and CPUs, and prove how good the plan is."""
        terminal.json = terminal.json or json
        terminal.quiet, terminal.verbose, terminal.color = quiet, verbose, not no_color

    return app


def _asks_for_json(given: Sequence[str]) -> bool:
    """Tell whether the command line asks for JSON; looked for by hand, because usage errors are told in it too."""
    followed = zip(given, [*given, ""][1:], strict=True)
    return any(word in ("--json", "--format=json") or (word, after) == ("--format", "json") for word, after in followed)


def _cure(words: Sequence[str]) -> str:
    verb = next((verb for verb in VERBS if words[:1] == [verb.name]), None)
    below = verb.verbs if verb else ()
    named = ["placer", *(words[:1] if verb else ()), *(sub.name for sub in below if words[1:2] == [sub.name])]
    kinds = ", ".join(sub.name for sub in below)
    lead = f"its kinds are {kinds}; " if below and words[1:2] and len(named) == 2 and words[1][:1] != "-" else ""
    return f"{lead}see: {' '.join(named)} --help"


def _version(value: bool) -> None:
    if value:
        from placer import __version__

        if _asks_for_json(sys.argv[1:]):
            print(f'{{"schema": "placer/v1", "ok": true, "result": {{"version": "{__version__}"}}}}')
        else:
            print(f"placer {__version__}")
        raise typer.Exit

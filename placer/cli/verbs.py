"""From a table of verbs to a command: only the verb that runs is imported, and every verb takes the common options."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperArgument, TyperCommand
from typer.models import OptionInfo

from placer.cli.answer import Answer
from placer.cli.terminal import BROKEN_PIPE, INTERRUPTED, Terminal
from placer.errors import PlacerError

EVERYWHERE = "Options of every verb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb: its name, its one line of help and where its function is (``module:function``), or its sub-verbs.

    The function takes the `Terminal` first, then what typer reads from its signature, and returns an `Answer`.
    """

    name: str
    help: str
    target: str = ""
    verbs: tuple[Verb, ...] = ()


class OutputFormat(StrEnum):
    """How a verb prints its result."""

    TABLE = "table"
    JSON = "json"


class InternalError(PlacerError):
    """A fault of ours that no other error explains."""

    code = "internal"


def _common_parameters(taken: Iterable[str]) -> list[inspect.Parameter]:
    """Return the options that every verb has, without the names that it has taken for itself."""
    options: dict[str, tuple[Any, Any]] = {
        "format": (Annotated[OutputFormat, typer.Option("--format", help="How to print the result.")], "table"),
        "json": (Annotated[bool, typer.Option("--json", help="The same as --format json: one JSON envelope.")], False),
        "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")], False),
        "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")], False),
        "no_color": (Annotated[bool, typer.Option("--no-color", help="Print without colours.")], False),
    }
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in options.items()
        if name not in taken
    ]


def command(function: Callable[..., Answer], terminal: Terminal) -> Callable[..., int]:
    """Return what typer runs: it takes the common options too, prints the answer and returns the exit code."""
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    common = _common_parameters(parameter.name for parameter in own)

    @functools.wraps(function)
    def run(**arguments: Any) -> int:
        given = {parameter.name: arguments.pop(parameter.name) for parameter in common}
        shape = given.get("format", arguments.get("format"))
        terminal.json = terminal.json or given["json"] or shape == "json"
        terminal.quiet = terminal.quiet or given["quiet"]
        terminal.verbose = terminal.verbose or given["verbose"]
        terminal.color = terminal.color and not given["no_color"]
        return guarded(lambda: terminal.deliver(function(terminal, **arguments)), terminal)

    parameters = [_named(parameter).replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + common
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # typer would look through it and miss the common options
    return run


def _named(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose whole number is called N in help, not by its type in Python."""
    kind, *told = get_args(parameter.annotation) or (None,)
    if int in (kind, *get_args(kind)) and isinstance(told[0], OptionInfo) and told[0].metavar is None:
        option = copy.copy(told[0])
        option.metavar = "N"
        return parameter.replace(annotation=Annotated[kind, option])
    return parameter


class PlainCommand(TyperCommand):
    """A command whose help names its arguments alone, without their types in Python."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what it takes: arguments, then options."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, TyperArgument):
                record = parameter.display_name_raw, record[1]
            if record is not None:
                rows[parameter.param_type_name].append(record)
        for kind, title in (("argument", "Arguments"), ("option", "Options")):
            if rows[kind]:
                with formatter.section(title):
                    formatter.write_dl(rows[kind])


def guarded(action: Callable[[], int], terminal: Terminal) -> int:
    """Run an action and turn whatever it raises into lines on standard error and an exit code."""
    try:
        return action()
    except PlacerError as error:
        return terminal.fail(error)
    except KeyboardInterrupt:
        terminal.note("placer: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        terminal.abandon()
        return BROKEN_PIPE
    except Exception as error:
        if terminal.verbose:
            traceback.print_exc(file=terminal.err)
        text = f"a fault of placer's own: {type(error).__name__}: {str(error)[:300]}"
        return terminal.fail(InternalError(text, cure="run again with -v for where it happened, and report it"))


def build(
    verbs: Sequence[Verb], words: Sequence[str] | None, terminal: Terminal, *, completion: bool = False
) -> typer.Typer:
    """Return an application of all verbs; those not named by `words` are only listed, not imported.

    Parameters
    ----------
    words
        The command line without options, so that its first word is the verb and the next perhaps a sub-verb; None
        imports all verbs.
    completion
        Whether shells may complete its verbs and options.
    """
    # Plain help: it names goals such as [~1%] that rich would take for markup, and rich takes a tenth of a second.
    app = typer.Typer(
        rich_markup_mode=None,
        add_completion=completion,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in verbs:
        chosen = words is None or words[:1] == [verb.name]
        if verb.verbs:
            below = build(verb.verbs, None if words is None else words[1:] if chosen else [], terminal)
            app.add_typer(below, name=verb.name, help=verb.help)
        elif chosen:
            app.command(verb.name, cls=PlainCommand)(command(load(verb), terminal))
        else:
            app.command(verb.name, help=verb.help)(_listed)
    return app


def load(verb: Verb) -> Callable[..., Answer]:
    """Import the function of a verb."""
    module, _, name = verb.target.partition(":")
    function: Callable[..., Answer] = getattr(importlib.import_module(module), name)
    return function


def _listed() -> None:
    """Stand for a verb that is listed in help and was not imported; only a fault of ours can call it."""
    raise RuntimeError("this verb was listed, not imported")

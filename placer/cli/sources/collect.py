"""``placer collect``: the script that gathers one host for import, without placer being installed there."""

from __future__ import annotations

from typing import Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.terminal import Terminal
from placer.errors import InputError


def collect(
    terminal: Terminal,
    print_: Annotated[bool, typer.Option("--print", help="Print the script.")] = False,
) -> Answer:
    """Print a read-only script that gathers one host.

    The script changes nothing on the host and makes a tar, which placer import libvirt reads:

    placer collect --print | ssh HOST sh
    """
    if not print_:
        raise InputError("placer gathers nothing by itself", cure="placer collect --print prints the script that does")
    from placer.read.imports.collect import collect_script

    script = collect_script()
    return Answer(data=lambda: {"script": script}, text=script)

"""``placer serve``: a fleet or a plan in this machine's browser, with the engine behind it."""

from __future__ import annotations

import secrets
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan, read_bytes, read_fleet
from placer.cli.plans.states import read_state
from placer.cli.terminal import Terminal
from placer.errors import InputError, MissingToolError

if TYPE_CHECKING:
    from placer.serve.desk import Shown

LOOPBACK = "127.0.0.1"


def serve(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="PLAN|FLEET", help="The plan, or an inventory.")],
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option("--beside", metavar="OLD", help="Also tell what differs from last week's plan or fleet."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any that is free.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=1024, help="Threads that search; as many as cores if not said."),
    ] = None,
) -> Answer:
    """Explore a fleet or a plan in the browser: only on this machine, only with the address that is printed."""
    try:
        import starlette  # noqa: F401 - told here, before what is built on it
        import uvicorn
    except ImportError:
        raise MissingToolError(
            "starlette or uvicorn is not installed", cure="pip install 'numa-placer[serve]'"
        ) from None
    from placer.serve.app import application
    from placer.serve.desk import Desk
    from placer.sweeps.executors import cores

    if STDIN in (file, beside):
        raise InputError("a page is served of a file", field="FILE", cure="write standard input to one first")
    shown = _shown(file, fleet, terminal)
    if beside is not None:
        shown = replace(shown, earlier=read_state(beside, None, terminal, known=shown.fleet))
    terminal.note("preparing the page")
    _ = shown.columns
    listener = _listener(port)
    token, number = secrets.token_urlsafe(24), listener.getsockname()[1]
    app = application(Desk(shown), token=token, port=number, workers=workers or cores())
    address = f"http://{LOOPBACK}:{number}/?token={token}"

    def run() -> None:
        terminal.note("open the address above in a browser of this machine; Ctrl-C ends the server")
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            terminal.note("ended")

    return Answer(data=lambda: {"address": address, "port": number}, text=address, after=run)


def _shown(file: str, fleet: str | None, terminal: Terminal) -> Shown:
    from placer.read.documents.plan_file import parse_plan
    from placer.read.recognise import Format, recognise
    from placer.serve.desk import Shown

    data, source = read_bytes(file)
    kind = recognise(data, source)
    if kind is Format.PLAN:
        plan = parse_plan(data, source)
        return Shown(fleet=fleet_of_plan(plan, source, fleet, terminal), plan=plan)
    if kind is not Format.INVENTORY:
        raise InputError(f"is a {kind.value}; a plan or an inventory belongs here", file=source)
    if fleet is not None:
        raise InputError("the file is an inventory itself", field="--fleet", cure="leave it out")
    return Shown(fleet=read_fleet(file, terminal), plan=None)


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        # From here on whoever opens the address waits for the server rather than being turned away.
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise InputError(f"port {port} cannot be had: {error.strerror}", field="--port", cure="name another") from None
    return listener

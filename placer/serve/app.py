"""The addresses of the explorer: the page, its data as JSON, a solve, and what can be taken away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from placer.emit.report.page import source, template
from placer.errors import InputError, PlacerError
from placer.serve.desk import Desk
from placer.serve.downloads import FORMS, export_archive, plan_archive
from placer.serve.edits import KINDS
from placer.serve.guard import App, Guard
from placer.serve.solving import Solving, Wish

MOST_BODY = 1 << 16
"""Bytes of a request: edits in words are short."""
ASSETS = {
    "report.css": "text/css",
    "tables.js": "text/javascript",
    "map.js": "text/javascript",
    "host.js": "text/javascript",
    "serve.js": "text/javascript",
}
_LONGEST_S = 24 * 3600.0
_MOST = 10**9
"""Moves and migrations of a wish: no fleet has as many VMs."""

Answered = Callable[[Request], Response]


def application(desk: Desk, *, token: str, port: int, workers: int) -> App:
    """Return the explorer of a desk, which only who has the token reaches; see `Guard`."""
    solving = Solving(desk, workers)
    explorer = _Explorer(desk, solving, token)
    routes = [
        Route("/", explorer.page),
        Route("/assets/{name}", explorer.asset),
        Route("/api/fleet", explorer.fleet),
        Route("/api/host", explorer.host),
        Route("/api/vm", explorer.vm),
        Route("/api/names", explorer.names),
        Route("/api/solve", explorer.progress, methods=["GET"]),
        Route("/api/solve", explorer.solve, methods=["POST"]),
        Route("/api/stop", explorer.stop, methods=["POST"]),
        Route("/api/back", explorer.back, methods=["POST"]),
        Route("/download/plan.zip", explorer.plan),
        Route("/download/export.zip", explorer.export),
    ]
    app = Starlette(routes=routes, exception_handlers={PlacerError: _refused})
    return Guard(app=app, token=token, port=port)


class _Explorer:
    """What each address answers. Plain functions run in threads, so that the page stays quick beside a solve."""

    def __init__(self, desk: Desk, solving: Solving, token: str) -> None:
        self.desk, self.solving, self.token = desk, solving, token

    def page(self, _request: Request) -> Response:
        """Return the page itself."""
        shown = self.desk.shown
        text = template("serve.html.j2").render(
            **shown.page.context,
            token=self.token,
            skip_to="fleet",
            changes=shown.changes,
            solved=shown is not self.desk.files,
            planned=shown.plan is not None,
            forms=FORMS,
            kinds=KINDS,
        )
        return HTMLResponse(text)

    def asset(self, request: Request) -> Response:
        """Return a style sheet or a script."""
        name = request.path_params["name"]
        if name not in ASSETS:
            return Response("no such file", status_code=404, media_type="text/plain")
        return Response(source(name), media_type=ASSETS[name])

    def fleet(self, _request: Request) -> Response:
        """Return the map in columns."""
        return Response(self.desk.shown.columns, media_type="application/json")

    def host(self, request: Request) -> Response:
        """Return a host opened."""
        return JSONResponse(self.desk.shown.host(_number(request)))

    def vm(self, request: Request) -> Response:
        """Return a VM with the verdicts on its other places."""
        return JSONResponse(self.desk.shown.vm(_number(request)))

    def names(self, _request: Request) -> Response:
        """Return the names of all VMs and where they are; the page searches them itself, at every key."""
        return Response(self.desk.shown.names, media_type="application/json")

    def progress(self, _request: Request) -> Response:
        """Return how far the solve is."""
        return JSONResponse(self.solving.told())

    async def solve(self, request: Request) -> Response:
        """Begin a solve."""
        wish = _wish(await _body(request))
        await run_in_threadpool(self.solving.begin, wish)
        return JSONResponse(self.solving.told(), status_code=202)

    def stop(self, _request: Request) -> Response:
        """Ask for the best plan so far."""
        self.solving.stop()
        return JSONResponse(self.solving.told())

    def back(self, _request: Request) -> Response:
        """Show the files again."""
        self.desk.show(None)
        return JSONResponse({})

    def plan(self, _request: Request) -> Response:
        """Return the plan as an archive."""
        return _archive(plan_archive(self.desk.shown), "plan.zip")

    def export(self, request: Request) -> Response:
        """Return the plan in another form."""
        to = request.query_params.get("to", "")
        return _archive(export_archive(self.desk.shown, to), f"{to}.zip")


def _number(request: Request) -> int:
    text = request.query_params.get("at", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{text[:20]!r} is no number", field="at")
    return int(text)


def _archive(data: bytes, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/zip", headers=headers)


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises
    ------
    InputError
        It is too large, or no object.
    """
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BODY:
            raise InputError(f"a request has at most {MOST_BODY:,} bytes")
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise InputError("the request is not JSON") from None
    if not isinstance(found, dict):
        raise InputError("the request is no object")
    return found


def _wish(found: dict[str, Any]) -> Wish:
    faults = []
    edits = found.get("edits", {})
    if not isinstance(edits, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) and len(text) <= 2000 for text in texts)
        for texts in edits.values()
    ):
        faults.append("edits: lists of texts by kind")
    limit = found.get("time_limit_s", 20.0)
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= _LONGEST_S:
        faults.append(f"time_limit_s: seconds above 0, at most {_LONGEST_S:,.0f}")
    for name in ("max_moves", "max_migrations"):
        value = found.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST):
            faults.append(f"{name}: a whole number from 0 to {_MOST:,}, or null")
    goals = found.get("goals")
    if goals is not None and not isinstance(goals, str):
        faults.append("goals: text, or null")
    if faults:
        raise InputError("; ".join(faults))
    return Wish(
        edits=edits,
        time_limit_s=float(limit),
        max_moves=found.get("max_moves"),
        max_migrations=found.get("max_migrations"),
        goals=goals or None,
    )


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PlacerError)
    return JSONResponse({"faults": [str(fault) for fault in error.faults]}, status_code=400)

"""A small live fleet and its plan, and the explorer of them asked in process: no socket, no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet
from placer.serve.app import application
from placer.serve.desk import Desk, Shown

NASTY = "</script><img src=x onerror=alert(1)>"
TOKEN = "a-token-for-tests"
PORT = 8642
NODES = [{"id": n, "cpus": f"{4 * n}-{4 * n + 3}", "memory": "16GiB"} for n in range(2)]
INVENTORY = {
    "schema": "placer.inventory/v1",
    "hosts": [
        {"name": name, "labels": {"rack": rack}, "nodes": NODES, "distances": [[10, 21], [21, 10]]}
        for name, rack in (("h1", "r1"), ("h2", "r2"), (NASTY, NASTY))
    ],
    "vms": [
        {
            "name": "db",
            "vcpus": 2,
            "memory": "4GiB",
            "cells": "none",
            "host": "h1",
            "nodes": [0],
            "memory_nodes": [1],
            "pins": {"0": "0", "1": "1"},
        },
        {"name": NASTY, "vcpus": 1, "memory": "1GiB", "host": "h2", "nodes": [0]},
    ],
    "rules": [{"anti_affinity": ["db", NASTY]}],
}


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return the fleet, from a file."""
    path = tmp_path_factory.mktemp("serve") / "fleet.yaml"
    path.write_text(json.dumps(INVENTORY))
    return read_fleet(path)


@pytest.fixture(scope="session")
def plan(fleet: Fleet) -> Plan:
    """Return a plan that brings the VM that is far from its memory to it."""
    return solve_fleet(fleet, max_moves=1, time_limit_s=30)


class Explorer:
    """Asks one explorer; what is not said comes from its own page."""

    def __init__(self, shown: Shown) -> None:
        self.desk = Desk(shown)
        self.app: Any = application(self.desk, token=TOKEN, port=PORT, workers=1)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        token: str | None = TOKEN,
        host: str = f"127.0.0.1:{PORT}",
        headers: dict[str, str] | None = None,
        data: Any = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Return the answer to a request."""
        said = {"host": host, **({} if token is None else {"x-placer-token": token}), **(headers or {})}

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
                return await client.request(method, path, headers=said, json=data, content=content)

        return asyncio.run(asked())

    def solved(self, **wish: Any) -> dict[str, Any]:
        """Begin a solve, wait for its end and return what is told then."""
        begun = self.ask("/api/solve", method="POST", data={"time_limit_s": 30, **wish})
        assert begun.status_code == 202, begun.text
        while (told := self.ask("/api/solve").json())["state"] == "running":
            pass
        return told


@pytest.fixture
def explorer(fleet: Fleet, plan: Plan) -> Explorer:
    """Return the explorer of the plan."""
    return Explorer(Shown(fleet=fleet, plan=plan))


@pytest.fixture
def of_fleet(fleet: Fleet) -> Callable[[], Explorer]:
    """Return a maker of the explorer of the fleet alone."""
    return lambda: Explorer(Shown(fleet=fleet, plan=None))

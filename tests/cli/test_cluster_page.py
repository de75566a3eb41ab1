"""The page on clusters: its commands run against a Dask scheduler and a worker on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to/cluster.md"
FLEET = """\
schema: placer.inventory/v1
hosts:
  - {name: kvm, count: 2, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}], reserve: {cpus: "0", memory: 1GiB}}
vms:
  - {name: db, count: 2, vcpus: 1, memory: 1GiB, cells: none}
"""
SCENARIO = "schema: placer.scenario/v1\nname: {name}\nedits:\n  - {{grow: {share}}}\n"


def blocks() -> list[str]:
    """Return the page's command blocks."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, str]:
    """Return an environment with stand-ins for srun and hostname, and this Python's commands first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in (("srun", 'exec "$@"'), ("hostname", "echo 127.0.0.1"), ("nproc", "echo 1")):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks())))
def test_commands_of_the_page_run(number: int, tmp_path: Path, commands: dict[str, str]) -> None:
    """Scheduler, worker and sweep start as the page says, the sweep ends well, and its rows are in the results."""
    pytest.importorskip("distributed")
    port = free_port()
    script = blocks()[number].replace("10.0.0.1", "127.0.0.1").replace("8786", str(port))
    assert f"dask:tcp://$(hostname):{port}" in script or f"dask:tcp://127.0.0.1:{port}" in script
    script = script.replace("dask scheduler", "dask scheduler --no-dashboard")
    script = script.replace("dask worker", f"dask worker --no-dashboard --local-directory {tmp_path}")
    (tmp_path / "fleet.yaml").write_text(FLEET)
    for name, share in (("a", "25%"), ("b", "50%")):
        (tmp_path / f"{name}.yaml").write_text(SCENARIO.format(name=name, share=share))
    # Into files: a worker that lingers when its scheduler is gone holds a pipe open, and its reader waits for ever.
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with out.open("w") as stdout, err.open("w") as stderr:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=commands,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = shell.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):  # all have ended by themselves
                os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, out.read_text() + err.read_text()
    assert "base" in out.read_text()
    results = tmp_path / ("sweep.jsonl" if "sweep.jsonl" in script else "failures.jsonl")
    assert results.read_text().count("\n") >= 2

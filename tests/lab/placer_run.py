"""Placer run as a program of its own: exit code, standard output and standard error."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.killed_placer import run_in_child

_PLACER = Path(sys.executable).with_name("placer")
# A process a run, as with the program, but what placer imports is there already: the scene of the kills runs it some
# 250 times, and the imports were two thirds of the processor time of a run.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "numpy",
        "yaml",
        "pydantic",
        "tests.lab.killed_placer",
        "placer.check.check",
        "placer.live.apply",
        "placer.live.rollback",
        "placer.live.verify",
        "placer.read.inventory.inventory",
    ]
)


@dataclass(frozen=True, slots=True)
class PlacerRun:
    """How a run of placer ended."""

    code: int
    out: str
    err: str

    @classmethod
    def run(cls, folder: Path, *arguments: str, timeout_s: float = 240.0) -> PlacerRun:
        """Run placer in a folder, as a person would."""
        done = subprocess.run([str(_PLACER), *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout_s)
        return cls(done.returncode, done.stdout, done.stderr)

    @classmethod
    def forked(cls, folder: Path, *arguments: str, kill: str | None = None, timeout_s: float = 240.0) -> PlacerRun:
        """Run placer in a process forked with its imports; `kill` names an accident in its journal (killed_placer.py).

        The exit code is that of a program: negative where a signal ended it.
        """
        with tempfile.TemporaryDirectory(prefix="placer-run-") as kept:
            out, err = Path(kept, "out"), Path(kept, "err")
            child = _FORKS.Process(target=run_in_child, args=(folder, arguments, kill, out, err))
            child.start()
            child.join(timeout_s)
            if child.exitcode is None:
                child.kill()
                child.join()
                raise TimeoutError(f"placer {' '.join(arguments)} did not end in {timeout_s:g} s")
            return cls(child.exitcode, out.read_text(), err.read_text())

    @property
    def result(self) -> Any:
        """The result in the JSON envelope."""
        return json.loads(self.out)["result"]

    def vms(self) -> dict[str, Any]:
        """The VMs of a JSON result by name."""
        return {vm["name"]: vm for vm in self.result["vms"]}

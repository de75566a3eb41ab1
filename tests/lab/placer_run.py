"""Placer run as a program of its own: exit code, standard output and standard error."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLACER = Path(sys.executable).with_name("placer")
_KILLED = Path(__file__).with_name("killed_placer.py")


@dataclass(frozen=True, slots=True)
class PlacerRun:
    """How a run of placer ended."""

    code: int
    out: str
    err: str

    @classmethod
    def run(cls, folder: Path, *arguments: str, kill: str | None = None, timeout_s: float = 240.0) -> PlacerRun:
        """Run placer in a folder; `kill` names an accident at a point of its journal (killed_placer.py)."""
        program = [str(_PLACER)] if kill is None else [sys.executable, str(_KILLED), kill]
        done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout_s)
        return cls(done.returncode, done.stdout, done.stderr)

    @property
    def result(self) -> Any:
        """The result in the JSON envelope."""
        return json.loads(self.out)["result"]

    def vms(self) -> dict[str, Any]:
        """The VMs of a JSON result by name."""
        return {vm["name"]: vm for vm in self.result["vms"]}

"""Environments of their own for peers that are Python packages: outside the repository, spoken to in JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INSTALL_LIMIT_S = 600.0


class PeerMissingError(Exception):
    """A peer cannot be had here; the message says why."""


def python_of(package: str, version: str, *, oldest: tuple[int, int] = (3, 11), install: bool = True) -> Path:
    """Return the interpreter of an environment that holds one package, made on the first call.

    It lies in the user's cache, ``numa-placer-peers/PACKAGE-VERSION``. With `install` off nothing is made.

    Raises
    ------
    PeerMissingError
        No Python of at least `oldest` is here, or the package cannot be installed.
    """
    folder = _cache() / f"{package}-{version}"
    ready = folder / "ready"
    python = folder / "bin" / "python"
    if ready.exists():
        return python
    if not install:
        raise PeerMissingError(f"{package} {version} is not installed for benchmarks")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([*_interpreter(oldest), "-m", "venv", "--clear", str(folder)], f"no environment for {package}")
    _run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{package}=={version}"],
        f"{package} {version} cannot be installed",
    )
    ready.touch()
    return python


def ask(python: Path, script: Path, question: Any, *, time_limit_s: float) -> Any:
    """Run a peer's script with a question as JSON in its first file, and return what it wrote as JSON to its second.

    Raises
    ------
    PeerMissingError
        The script failed or took longer than `time_limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="placer-peer-") as folder:
        # -I: the folder of the script, whose modules are named after peers, must not hide the peers themselves.
        asked, told = Path(folder) / "question.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        _run([str(python), "-I", str(script), str(asked), str(told)], script.stem, time_limit_s)
        return json.loads(told.read_text(encoding="utf-8"))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numa-placer-peers"


def _interpreter(oldest: tuple[int, int]) -> list[str]:
    """Return the command of a Python that is new enough: this one, one on PATH, or one installed beside this."""
    if sys.version_info[:2] >= oldest:
        return [sys.executable]
    for command in _candidates(oldest):
        test = f"import ensurepip, sys, venv; sys.exit(sys.version_info < {oldest})"
        try:
            found = subprocess.run([command, "-c", test], capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if found.returncode == 0:
            return [command]
    raise PeerMissingError(f"no Python {oldest[0]}.{oldest[1]} or newer is here")


def _candidates(oldest: tuple[int, int]) -> Iterator[str]:
    for minor in range(oldest[1], oldest[1] + 4):
        found = shutil.which(f"python{oldest[0]}.{minor}")
        if found:
            yield found
    # Pythons that lie beside this one, as version managers keep them: their commands on PATH may lead nowhere.
    beside = Path(sys.base_prefix).parent.glob(f"*/bin/python{oldest[0]}")
    yield from sorted(map(str, beside))


def _run(command: list[str], what: str, time_limit_s: float = INSTALL_LIMIT_S) -> None:
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=time_limit_s, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerMissingError(f"{what}: more than {time_limit_s:g} s") from None
    except OSError as error:
        raise PeerMissingError(f"{what}: {error.strerror or error}") from None
    if found.returncode:
        last = [line for line in found.stderr.splitlines() if line.strip()][-1:]
        raise PeerMissingError(f"{what}: {last[0].strip()[:200] if last else f'exit {found.returncode}'}")

"""What the suite promises of tests marked libvirt: skipped with a reason without the binding, never skipped in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import no_more_than, yardstick

PROBES = {
    "runs": "def test_probe():\n    pass\n",
    "skips itself": "def test_probe():\n    pytest.skip('no domain.rng')\n",
    "has no shared folder": "def test_probe(shared_dir):\n    pass\n",
}


@pytest.mark.parametrize(
    ("probe", "binding", "required", "outcome"),
    [
        ("runs", False, False, "1 skipped"),
        ("runs", False, True, "1 error"),
        ("runs", True, True, "1 passed"),
        ("skips itself", True, False, "1 skipped"),
        ("skips itself", True, True, "1 failed"),
        ("has no shared folder", True, True, "1 skipped"),
    ],
)
def test_libvirt_marker(tmp_path: Path, probe: str, binding: bool, required: bool, outcome: str) -> None:
    """A libvirt test that cannot run counts as skipped, and as failed where it is required."""
    tests = tmp_path / "project" / "tests"
    tests.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("conftest.py"), tests)
    (tests / "test_probe.py").write_text(f"import pytest\n\npytestmark = pytest.mark.libvirt\n\n{PROBES[probe]}")
    stand_in = "types.ModuleType('libvirt')" if binding else "None"
    (tmp_path / "binding.py").write_text(
        "import importlib.machinery, sys, types\n"
        f"sys.modules['libvirt'] = module = {stand_in}\n"
        "if module: module.__spec__ = importlib.machinery.ModuleSpec('libvirt', None)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "binding", "-o", "markers=libvirt: x", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *(["--require-libvirt"] if required else []), str(tests)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert outcome in run.stdout.splitlines()[-1], run.stdout + run.stderr


def test_work_without_end_is_more_than_allowed() -> None:
    """Ten yardsticks of work are not two, and are not more than forty, on any machine."""
    with pytest.raises(AssertionError, match="2 are allowed"), no_more_than(2):
        for _ in range(10):
            yardstick()
    with no_more_than(40):
        for _ in range(10):
            yardstick()

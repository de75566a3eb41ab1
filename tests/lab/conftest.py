"""The lab as fixtures: built once a session, restored for each module or test that asks for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.machine import lab as machine
from tests.lab.placer_run import PlacerRun


@pytest.fixture(scope="session")
def lab_image() -> machine.Image:
    """Return the built lab, or skip where it cannot be built."""
    if importlib.util.find_spec("libvirt") is None:
        pytest.skip("libvirt-python is not installed: make lab")
    reason = machine.missing()
    if reason is not None:
        pytest.skip(reason)
    return machine.image()


@pytest.fixture(scope="module")
def module_lab(lab_image: machine.Image) -> Iterator[machine.Lab]:
    """Run one lab for all tests of a module."""
    with machine.running_lab(lab_image) as lab:
        yield lab


@pytest.fixture
def fresh_lab(lab_image: machine.Image) -> Iterator[machine.Lab]:
    """Run a lab of its own for one test."""
    with machine.running_lab(lab_image) as lab:
        yield lab


@pytest.fixture
def placer(tmp_path: Path) -> Callable[..., PlacerRun]:
    """Return a function that runs placer in the test's folder as a person would."""
    return lambda *arguments, **options: PlacerRun.run(tmp_path, *arguments, **options)

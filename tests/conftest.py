"""What all tests share: the folder of real machines beside the repository, and who may skip for want of libvirt."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.building"]
REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples in every run, and no deadline: a busy machine must not turn a right answer into a failure.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")

# A claim that our own checker refuses is left out of a user's plan with a warning; here it is an error.
os.environ.setdefault("PLACER_OWN_FAULTS", "error")

# A shell that starts a command in the background has it ignore SIGINT, and Python then raises no KeyboardInterrupt: a
# test that presses Ctrl-C would wait for ever. The processes that tests start inherit this too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--require-libvirt``, which CI gives."""
    parser.addoption(
        "--require-libvirt",
        action="store_true",
        help="fail, rather than skip, a test marked libvirt where libvirt-python is missing",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``libvirt`` where the binding is missing, unless it was required."""
    if item.get_closest_marker("libvirt") is None or importlib.util.find_spec("libvirt") is not None:
        return
    if item.config.getoption("--require-libvirt"):
        pytest.fail("libvirt-python is required and missing: make libvirt", pytrace=False)
    pytest.skip("libvirt-python is not installed: make libvirt")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``--require-libvirt`` count as failed a ``libvirt`` test that skips itself for another reason.

    Only the want of the folder ``shared`` excuses it: no set-up step can bring that.
    """
    report = yield
    required = item.config.getoption("--require-libvirt") and item.get_closest_marker("libvirt") is not None
    if required and report.skipped and "shared_dir" not in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped though libvirt is required: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder ``shared`` beside the repository (files of real machines, traces), or skip."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder 'shared' beside the repository: the files of real machines are not here")
    return folder

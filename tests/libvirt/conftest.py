"""A host of libvirt's mock driver with domains, and an inventory and a plan for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.libvirt.mock_host import MockHost


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[MockHost]:
    """Return a mock host without domains of other tests."""
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    raw: Any = libvirt.open("test:///default")
    try:
        # A failed test may keep its objects, and with them the driver's memory, alive.
        for domain in raw.listAllDomains():
            if domain.name() != "test":
                if domain.isActive():
                    domain.destroy()
                if domain.isPersistent():
                    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
        yield MockHost(raw, tmp_path)
    finally:
        raw.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs placer in the test's folder: exit code, standard output, standard error."""
    from placer.cli.app import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    def checked(*arguments: str | Sequence[str]) -> tuple[int, str, str]:
        return call(*map(str, arguments))

    return checked

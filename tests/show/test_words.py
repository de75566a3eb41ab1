"""Names and amounts as people read them."""

from __future__ import annotations

import pytest

from placer.model.units import count
from placer.show.words import amount, figure, listed, page, percent, visible


@pytest.mark.parametrize(
    ("kib", "text"),
    [
        (0, "0 KiB"),
        (7, "7 KiB"),
        (512_000, "500 MiB"),
        (1 << 20, "1 GiB"),
        (33_554_433, "32.0 GiB"),
        (3 << 30, "3 TiB"),
    ],
)
def test_amounts(kib: int, text: str) -> None:
    """A size is exact where it is whole in its unit; else its decimal says that it is rounded."""
    assert amount(kib) == text


def test_numbers() -> None:
    """Figures drop needless zeros, shares become per cent, and the unknown is called so."""
    assert figure(1.5) == "1.5"
    assert figure(12_345) == "12,345"
    assert figure(2.0) == "2"
    assert figure(None) == "unknown"
    assert percent(0.0035) == "0.35 %"
    assert percent(None) == "unknown"
    assert page(2048) == "2 MiB"
    assert (count(1, "node"), count(2, "node")) == ("1 node", "2 nodes")
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


def test_names_cannot_move_the_cursor() -> None:
    """Control characters are spelled out, others are left alone."""
    assert visible("a\x1b[2Jb\nü") == "a\\x1b[2Jb\\nü"

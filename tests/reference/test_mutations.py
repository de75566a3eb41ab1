"""Damaged documents: each is taken or refused by a named error, none crashes, takes long or fills the memory."""

from __future__ import annotations

import pytest

from benchmarks.truth import mutate
from benchmarks.truth.mutate import kinds, mutated

DOCUMENTS = 8
"""A kind at every run; `placer bench truth --size mutated` tries as many as one likes."""


@pytest.mark.parametrize("kind", kinds())
def test_damaged_documents_are_refused_by_name(kind: str) -> None:
    """Of some damaged documents of a kind none is wrongly taken, and some are refused."""
    outcomes = [mutated(kind, seed) for seed in range(DOCUMENTS)]
    assert not [wrong for wrong, _, _ in outcomes if wrong]
    assert any(how == "refused" for _, _, how in outcomes)


def test_a_crash_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that ends with anything but an error of its own is reported."""

    def careless(*_: object) -> None:
        raise KeyError("cells")

    monkeypatch.setattr(mutate, "kinds", lambda: {"plan": lambda rng, folder: careless})
    wrong, _, _ = mutated("plan", 0)
    assert wrong is not None and wrong.startswith("CRASH KeyError")


def test_a_document_that_fills_the_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader holds for a moment counts, what its process held before does not."""
    monkeypatch.setattr(mutate, "MOST_BYTES", 100 << 20)
    held = bytearray(b"x") * (150 << 20)
    for size, large in ((0, False), (600 << 20, True)):

        def greedy(*_: object, size: int = size) -> None:
            assert len(bytearray(b"x") * size) == size

        monkeypatch.setattr(mutate, "kinds", lambda greedy=greedy: {"plan": lambda rng, folder: greedy})
        wrong, _, _ = mutated("plan", 0)
        assert (wrong is not None) is large, wrong
    assert len(held)

"""What the hosts of a problem have left beside what is there, and how many VMs of a flavor alone that could hold."""

from __future__ import annotations

import numpy as np

from solvers.problem import BoolArray, IntArray, Problem
from solvers.slots import Filler


class Room:
    """Free rows of every host class, stacked a shape.

    Attributes
    ----------
    numbers : shape -> (S,) its classes. `free` : shape -> (S, K) what each has left beside the VMs on known nodes.
    allowed : shape -> (S, F) whether a VM of a flavor may arrive. `count` : (C,) hosts of every class.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        classes = problem.classes
        self.count: IntArray = np.array([one.count for one in classes], dtype=np.int64)
        self.numbers: dict[int, IntArray] = {
            shape: np.array([n for n, one in enumerate(classes) if one.shape == shape], dtype=np.int64)
            for shape in sorted({one.shape for one in classes})
        }
        self.free: dict[int, IntArray] = {shape: self._free(own) for shape, own in self.numbers.items()}
        self.allowed: dict[int, BoolArray] = {
            shape: np.array([classes[n].allowed for n in own.tolist()], dtype=bool)
            for shape, own in self.numbers.items()
        }

    def _free(self, numbers: IntArray) -> IntArray:
        out = []
        for number in numbers.tolist():
            one = self.problem.classes[number]
            free = one.capacity.copy()
            for placement, count in one.content:
                free -= count * self.problem.shapes[one.shape].use[placement]
            out.append(free)
        return np.maximum(np.array(out, dtype=np.int64), 0)

    def placements(self, shape: int, flavor: int) -> IntArray:
        """Return the placements that an arriving VM of the flavor may take on hosts of a shape."""
        form = self.problem.shapes[shape]
        return np.flatnonzero((form.flavor == flavor) & ~form.stay_only)

    def filler(self, shape: int, flavor: int) -> Filler | None:
        """Return the flavor's filler on hosts of a shape, None where it has no placement there."""
        form, own = self.problem.shapes[shape], self.placements(shape, flavor)
        return Filler.of(form.use[own], form.touches[own], form.row_names) if len(own) else None

    def most(self, flavor: int) -> int | None:
        """Return a bound on how many VMs of a flavor fit if no VM that is there moves; None where there is none.

        VMs on no known node are taken to need nothing, and no rule is looked at: both can only make it larger.
        """
        each = self.most_by_class(flavor)
        return None if each is None else int((each * self.count).sum())

    def most_by_class(self, flavor: int) -> IntArray | None:
        """Return that bound for one host of every class (C,)."""
        total = np.zeros(len(self.problem.classes), dtype=np.int64)
        for shape, numbers in self.numbers.items():
            where = self.allowed[shape][:, flavor]
            if not where.any():
                continue
            if not self.problem.shapes[shape].complete:
                return None
            filler = self.filler(shape, flavor)
            if filler is not None:
                total[numbers[where]] = filler.bounds(self.free[shape][where]).most
        return total

"""What one host can hold: the placements that it can use, and at most how many VMs each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from solvers.problem import BoolArray, HostClass, IntArray, Shape

NO_LIMIT = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """What of a shape a host of a class can use.

    Attributes
    ----------
    present, unsettled : (F,) VMs there now, and those of them on no known node, for which no place here is a move.
    placements : (A,) the admissible ones; at most `upper` (A,) VMs each, `content` (A,) of them are there now.
    flavor, use, phantom : (A,), (A, K), (A,) of these placements.
    """

    host_class: HostClass
    shape: Shape
    present: IntArray
    unsettled: IntArray
    placements: IntArray
    upper: IntArray
    content: IntArray
    flavor: IntArray
    use: IntArray
    phantom: BoolArray

    def limited(self, upper: IntArray) -> HostView:
        """Return the view with other limits (A,); placements whose limit is 0 are left out."""
        keep = upper > 0
        return dataclasses.replace(
            self,
            placements=self.placements[keep],
            upper=upper[keep],
            content=self.content[keep],
            flavor=self.flavor[keep],
            use=self.use[keep],
            phantom=self.phantom[keep],
        )


def host_view(
    host_class: HostClass,
    shape: Shape,
    present: IntArray,
    *,
    demand: IntArray,
    phantom: BoolArray,
    settles: BoolArray,
    chosen: IntArray | None = None,
) -> HostView:
    """Return what a host of a class can hold.

    Parameters
    ----------
    present : (F,) VMs there now, floating ones included (`Problem.content_of`).
    demand, phantom, settles : (F,) VMs to hold in all, flavors that are only counted, and those of `Flavor.settles`.
    chosen : placements to look at beside those of VMs that are there now; all where not given.

    Raises
    ------
    ValueError
        A phantom takes nothing, and so would fit without end.
    """
    own = np.array(sorted(placement for placement, _ in host_class.content), dtype=np.int64)
    placements = np.arange(shape.placements) if chosen is None else np.union1d(chosen, own)
    flavor, use = shape.flavor[placements], shape.use[placements]
    content = np.zeros(shape.placements, dtype=np.int64)
    for placement, many in host_class.content:
        content[placement] += many
    upper = np.full(len(placements), NO_LIMIT, dtype=np.int64)
    for row, room in enumerate(host_class.capacity.tolist()):
        taking = use[:, row] > 0
        upper[taking] = np.minimum(upper[taking], room // use[taking, row])
    if (upper[phantom[flavor]] == NO_LIMIT).any():
        raise ValueError(f"shape {shape.name}: a phantom that takes nothing fits without end")
    most = np.where(host_class.allowed, demand, np.minimum(demand, present))
    most = np.where(phantom, np.where(host_class.allowed, NO_LIMIT, 0), most)
    upper = np.minimum(upper, most[flavor])
    content = content[placements]
    for placement, many in host_class.at_most.items():
        upper[placements == placement] = np.minimum(upper[placements == placement], many)
    upper = np.where(shape.stay_only[placements], np.minimum(upper, content), upper)
    whole = HostView(
        host_class=host_class,
        shape=shape,
        present=present,
        unsettled=host_class.unsettled_of(present, settles),
        placements=placements,
        upper=upper,
        content=content,
        flavor=flavor,
        use=use,
        phantom=phantom[flavor],
    )
    return whole.limited(upper)

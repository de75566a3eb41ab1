"""Which nodes of a host may be exchanged: orders on them that cut symmetric plans and no optimum.

An exchange is an automorphism of the coloured node graph that is its own inverse: it swaps some nodes in pairs and
leaves the others. Of all plans that exchanges turn into each other one may ask for the lexicographically largest vector
of node loads, in ascending order of the nodes; it satisfies, for every exchange, "the loads of the lower nodes of the
pairs, in order, are lexicographically at least those of the upper ones". All such orders therefore hold together
(lex-leader rows: Crawford, Ginsberg, Luks, Roy 1996). To order nodes merely because they lie in one orbit is wrong: 4
nodes in 2 packages lie in one orbit, yet node 1 cannot be exchanged for node 2 while node 0 stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Chain = tuple[tuple[int, ...], ...]
"""Blocks of node positions, all of one length; swapping two neighbouring blocks position by position is an exchange."""

_SEARCH_STEPS = 20_000
"""Pairs of nodes tried in all for one host; where they run out, symmetries go unused and nothing else is lost."""
_SEARCH_NODES = 256
"""Hosts of more nodes are only searched for single nodes that are equal."""
_LARGEST_KEY = 1 << 40
"""Keys stay below this, so that sums of them stay far from the 63 bits that solvers count with."""


def symmetric_chains(
    distances: Sequence[Sequence[float]],
    colours: Sequence[Hashable],
    packages: Sequence[Sequence[int]] | None = None,
) -> tuple[Chain, ...]:
    """Return orders of nodes, and of blocks of nodes, that some optimum satisfies all at once.

    For two equal nodes in each of two equal packages: ``((0,), (1,)), ((2,), (3,)), ((0, 1), (2, 3))``. A row
    ``key(block) >= key(next block)`` may be put for every two neighbours of every chain, all together, where the key
    orders blocks *lexicographically by position* of one load a node: see `chain_keys`.

    Parameters
    ----------
    distances
        Any figure of node j seen from node i; compared for equality, both ways.
    colours
        What else tells nodes apart: capacities, pools, devices, content. Nodes of different colour are never exchanged.
    packages
        Node positions of each package, if nodes that share one shall share one after the exchange too. Without it
        blocks are those that the distances and colours give.
    """
    graph = _Graph(distances, colours, packages)
    chains: list[Chain] = []
    component = list(range(graph.size))
    # The lowest node of each block found so far, in order: the next block is compared with the last of them first.
    leaders: dict[int, list[int]] = {node: [node] for node in range(graph.size)}

    def join(blocks: Chain) -> None:
        for low, high in zip(*blocks, strict=True):
            kept, gone = sorted((component[low], component[high]))
            if kept != gone:
                del leaders[gone]
                component[:] = [kept if name == gone else name for name in component]

    for blocks in _twins(graph):
        chains.append(blocks)
        for pair in itertools.pairwise(blocks):
            join(pair)
    found: list[Chain] = []
    search = _ExchangeSearch(graph)
    for high in range(graph.size):
        if component[high] != high:
            continue
        for other in sorted((name for name in leaders if name < high), reverse=True):
            exchange = next(filter(None, (search.swapping(low, high) for low in reversed(leaders[other]))), None)
            if exchange is not None:
                found.append(exchange)
                leaders[other].append(high)
                join(exchange)
                break
    return (*chains, *_merged(found))


def chain_keys(chain: Chain, load: NDArray[np.int64], largest: int) -> NDArray[np.int64]:
    """Return (blocks, P) coefficients of keys that order the blocks of `chain` lexicographically by node load.

    Parameters
    ----------
    chain
        One of `symmetric_chains`.
    load
        (P, nodes) what each of P counted things adds to the load of a node; never negative.
    largest
        The most that any node can be loaded with; with a smaller figure the rows would cut off plans.

    Notes
    -----
    Positions that would make the key too large are left out: the order by those before them is weaker, and true.
    """
    import numpy as np

    base = largest + 1
    used = 1
    while used < len(chain[0]) and base ** (used + 1) <= _LARGEST_KEY:
        used += 1
    weights = np.array([base**power for power in reversed(range(used))], dtype=np.int64)
    keys = [load[:, list(block[:used])] @ weights for block in chain]
    return np.array(keys, dtype=np.int64)


class _Graph:
    """Nodes with a class each (equal for nodes that no local look tells apart) and a label an ordered pair."""

    def __init__(
        self,
        distances: Sequence[Sequence[float]],
        colours: Sequence[Hashable],
        packages: Sequence[Sequence[int]] | None,
    ) -> None:
        self.size = len(colours)
        package_of = {node: number for number, nodes in enumerate(packages or ()) for node in nodes}
        nodes = range(self.size)
        self.label = [[(distances[i][j], package_of.get(i, -1) == package_of.get(j, -2)) for j in nodes] for i in nodes]
        self.classes = self._refined(_numbered(list(colours)))

    def _refined(self, classes: list[int]) -> list[int]:
        """Split classes by what their nodes see until nothing splits any more."""
        nodes = range(self.size)
        while True:
            seen = [
                (classes[i], tuple(sorted((self.label[i][j], self.label[j][i], classes[j]) for j in nodes if j != i)))
                for i in nodes
            ]
            finer = _numbered([(self.label[i][i], *seen[i]) for i in nodes])
            if len(set(finer)) == len(set(classes)):
                return finer
            classes = finer

    def agree(self, node: int, image: int, other: int, other_image: int) -> bool:
        """Tell whether the pair (node, other) looks like the pair of their images, both ways."""
        label = self.label
        return label[node][other] == label[image][other_image] and label[other][node] == label[other_image][image]


def _numbered(things: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(thing, len(numbers)) for thing in things]


def _twins(graph: _Graph) -> list[Chain]:
    """Return a chain for each set of nodes any two of which may be exchanged while all others stay."""
    chains: list[Chain] = []
    taken: set[int] = set()
    for node in range(graph.size):
        if node in taken:
            continue
        alike = [node]
        for other in range(node + 1, graph.size):
            if other not in taken and _are_twins(graph, node, other):
                alike.append(other)
        if len(alike) > 1:
            taken.update(alike)
            chains.append(tuple((twin,) for twin in alike))
    return chains


def _are_twins(graph: _Graph, node: int, other: int) -> bool:
    if graph.classes[node] != graph.classes[other] or not graph.agree(node, other, other, node):
        return False
    return all(graph.agree(node, other, third, third) for third in range(graph.size) if third not in (node, other))


class _ExchangeSearch:
    """Depth-first search for exchanges, with one allowance of steps for all of them."""

    def __init__(self, graph: _Graph) -> None:
        self.graph = graph
        self.steps = _SEARCH_STEPS if graph.size <= _SEARCH_NODES else 0
        self.image: dict[int, int] = {}

    def swapping(self, low: int, high: int) -> Chain | None:
        """Return an exchange of `low` and `high` that leaves others in place where it can, as two blocks; or None."""
        self.image = {}
        if not self._fits(low, high):
            return None
        self.image = {low: high, high: low}
        if not self._extend(0):
            return None
        lower = sorted(node for node, target in self.image.items() if node < target)
        return tuple(lower), tuple(self.image[node] for node in lower)

    def _fits(self, node: int, target: int) -> bool:
        graph = self.graph
        if graph.classes[node] != graph.classes[target] or not graph.agree(node, target, target, node):
            return False
        return all(
            graph.agree(node, target, other, its) and graph.agree(target, node, other, its)
            for other, its in self.image.items()
        )

    def _extend(self, node: int) -> bool:
        while node in self.image:
            node += 1
        if node == self.graph.size:
            return True
        for target in range(node, self.graph.size):
            self.steps -= 1
            if self.steps <= 0:
                return False
            if target in self.image or not self._fits(node, target):
                continue
            self.image[node], self.image[target] = target, node
            if self._extend(node + 1):
                return True
            del self.image[node]
            self.image.pop(target, None)
        return False


def _merged(pairs: Sequence[Chain]) -> list[Chain]:
    """Join chains of two blocks where one ends with the block that the other begins with."""
    chains: list[Chain] = []
    for pair in pairs:
        for number, chain in enumerate(chains):
            if chain[-1] == pair[0]:
                chains[number] = (*chain, pair[1])
                break
        else:
            chains.append(pair)
    return chains

"""Destroy and repair: some VMs are taken from their places together and put back one by one, often better."""

from __future__ import annotations

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.improve.relocate import best_place, most_to_win

VMS = 24
"""Most VMs that are in hand at a time."""


def refill(fleet: Fleet, rng: np.random.Generator) -> bool:
    """Take some VMs from their places and put them back; return whether the values are better than before.

    An answer that is as good is kept too: it opens other ways.
    """
    mark, before = len(fleet.journal), fleet.vector()
    chosen = _some(fleet, rng)
    hand: list[tuple[float, int, int]] = []
    for host, place in chosen:
        flavor = int(fleet.tables.flavor[place])
        moves = fleet.moves
        fleet.remove(host, place)
        size = float((fleet.tables.use[place] * fleet.tables.scale[host]).sum())
        hand.append((-size * float(rng.uniform(0.5, 1.5)), flavor, fleet.moves - moves))
    for flavor in _left_out(fleet, rng):
        fleet.take_in(flavor)
        own = fleet.tables.placements_of(flavor)
        size = float(fleet.tables.use[own[0]].sum() / max(1.0, float(fleet.tables.capacity.mean()) * len(own)))
        hand.append((-size * float(rng.uniform(0.5, 1.5)), flavor, 0))
    if _put_back(fleet, sorted(hand)) and fleet.vector() <= before and fleet.within_budget():
        return fleet.vector() < before
    fleet.undo(mark)
    return False


def _put_back(fleet: Fleet, hand: list[tuple[float, int, int]]) -> bool:
    """Put VMs in hand back one after the other; those that need not be anywhere may be left out."""
    pending = sum(home for _, _, home in hand)
    for _, flavor, home in hand:
        pending -= home
        found = best_place(fleet, flavor, pending=pending)
        if found is not None:
            fleet.add(found[1], found[2])
        elif fleet.out[flavor] < fleet.tables.problem.flavors[flavor].arriving:
            fleet.leave_out(flavor)
        else:
            return False
    return True


def _some(fleet: Fleet, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (host, placement) of VMs: of few hosts most of them, or here and there those that might win."""
    hosts = len(fleet.held)
    if rng.random() < 0.5:
        picked = rng.choice(hosts, size=min(hosts, int(rng.integers(2, 4))), replace=False).tolist()
        entries = [(h, p) for h in picked for p, many in fleet.held[h].items() for _ in range(many)]
    else:
        picked = rng.choice(hosts, size=min(hosts, 12), replace=False).tolist()
        entries = [(host, place) for _, host, place in most_to_win(fleet, picked)]
    entries = [entry for entry in entries if not fleet.frozen[fleet.tables.flavor[entry[1]]]]
    most = int(rng.integers(2, VMS + 1))
    if len(entries) > most:
        entries = [entries[n] for n in sorted(rng.choice(len(entries), size=most, replace=False).tolist())]
    return entries


def _left_out(fleet: Fleet, rng: np.random.Generator) -> list[int]:
    """Return the flavors of a few VMs that are left out and that some host could hold."""
    waiting = [
        f for f in np.flatnonzero(fleet.out).tolist() if not fleet.frozen[f] and len(fleet.tables.placements_of(f))
    ]
    if not waiting:
        return []
    return [int(f) for f in rng.choice(waiting, size=min(len(waiting), 4), replace=False)]

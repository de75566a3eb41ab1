"""Hosts filled to the brim one after the other, the smallest first, and the last few all at once.

Where VMs fill all hosts but for next to nothing and hosts have few resources, a host has hundreds of thousands of sets
of VMs that leave it next to nothing (`solvers.starts.fillings`): too many to choose among for all hosts at once, and
so many that one which wastes least and takes the largest VMs away leaves enough of them for the next host. The last
hosts have few VMs to choose from, so CP-SAT assigns those. Where that comes to nothing, another order of hosts mostly
does: there is little left over, but many ways to do it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_model
from solvers.clock import Clock, CutOffError
from solvers.improve.exchange import movable_arrivals
from solvers.improve.fleet import Fleet
from solvers.problem import IntArray, Problem
from solvers.result import Result
from solvers.starts.best_fit import better
from solvers.starts.fillings import Fillings
from solvers.starts.plain_fleets import is_tight, plain_fleet

LAST = 6
"""Hosts that are filled all at once in the end."""
MOST_HOSTS, MOST_VMS = 40, 400
"""Above, the last hosts have been measured to be left with what does not fit them."""
MOST_LAST_VMS = 60
LOOKS = 1_000_000
"""Pairs and VMs that are looked at for one host."""
SHARES = (1, 3, 9)
"""How many times its share of what may stay free a host may leave, tried in turn."""
EFFORT = 2.0
"""Deterministic seconds of CP-SAT."""
TRIES, SHUFFLE = 20, 0.15
"""Orders of hosts that are tried in turn: after the first one, sizes of hosts are shuffled by so much."""


def brim_by_brim(problem: Problem, first: Result, *, seed: int, clock: Clock) -> tuple[Result, int]:
    """Return an answer that places all VMs, or the first one; and how many rounds were searched.

    A round that the wall clock cuts off counts as never begun.
    """
    fleet = plain_fleet(problem, first)
    if fleet is None or fleet.tables.hosts > MOST_HOSTS:
        return first, 0
    tables = fleet.tables
    at, places = movable_arrivals(fleet, np.zeros(tables.hosts, dtype=np.bool_))
    flavors = np.concatenate([tables.flavor[places], np.repeat(np.arange(len(fleet.out)), fleet.out)])
    use = tables.use[[int(tables.placements_of(flavor)[0]) for flavor in flavors.tolist()]]
    if len(flavors) > MOST_VMS or not is_tight(tables.capacity.sum(axis=0) - use.sum(axis=0), tables.capacity.sum(0)):
        return first, 0
    held = None
    try:
        for number in range(TRIES):
            if held is not None or not clock.next_round():
                break
            filling = _in_turn(tables.capacity, use, number and [seed, number], clock)
            if len(filling.left) > MOST_LAST_VMS:
                break
            held = _assigned(tables.capacity, use, filling, seed, clock)
    except CutOffError:
        clock.cut_round()
    if held is None:
        return first, clock.rounds
    for host, place in zip(at.tolist(), places.tolist(), strict=True):
        fleet.remove(host, place)
    _put(fleet, flavors, held)
    return better(problem, first, fleet), clock.rounds


def _put(fleet: Fleet, flavors: IntArray, held: list[tuple[int, IntArray]]) -> None:
    """Put VMs, by number, on the hosts of which `held` tells what they hold."""
    tables = fleet.tables
    waiting = fleet.out.copy()
    for host, vms in held:
        for flavor in flavors[vms].tolist():
            if waiting[flavor]:
                waiting[flavor] -= 1
                fleet.take_in(flavor)
            own = tables.placements_of(flavor)
            fleet.add(host, int(own[tables.shape_of[own] == tables.shape[host]][0]))


@dataclass(frozen=True, slots=True)
class _Filling:
    """Hosts with the VMs, by number, that each holds, the hosts that are to be filled last, and the VMs for them."""

    held: list[tuple[int, IntArray]]
    last: list[int]
    left: IntArray


def _in_turn(capacity: IntArray, use: IntArray, seed: int | list[int], clock: Clock) -> _Filling:
    """Fill hosts of `capacity` (H, K) with VMs of `use` (N, K), the smallest first, in an order that `seed` shuffles a
    little where it is not 0.
    """
    scale = np.maximum(capacity.mean(axis=0), 1e-9)
    narrow = (capacity / scale).min(axis=1)
    if seed:
        narrow = narrow * np.exp(np.random.default_rng(seed).normal(0.0, SHUFFLE, size=len(narrow)))
    order = np.argsort(narrow, kind="stable").tolist()
    size = (use / scale).sum(axis=1)
    left = np.arange(len(use))
    spare = capacity.sum(axis=0) - use.sum(axis=0)
    held: list[tuple[int, IntArray]] = []
    last = order[-LAST:]
    for number, host in enumerate(order[:-LAST]):
        clock.check()
        best = _least_left(capacity[host], use[left], size[left], spare, len(order) - number)
        if best is None:
            # What is too small for any set is looked at with the last ones.
            last.append(host)
            continue
        held.append((host, left[best]))
        spare = spare - (capacity[host] - use[left[best]].sum(axis=0))
        left = np.delete(left, best)
    return _Filling(held, last, left)


def _least_left(capacity: IntArray, use: IntArray, size: IntArray, spare: IntArray, hosts: int) -> IntArray | None:
    """Return the VMs that leave least of a host, of those the largest; None where none leave little enough."""
    for share in SHARES:
        waste = np.minimum(spare, share * spare // hosts + 1)
        best: tuple[float, float] | None = None
        chosen = None
        for sets in Fillings(capacity=capacity, use=use, waste=waste, looks=LOOKS).list():
            if not len(sets):
                continue
            over = ((capacity - use[sets].sum(axis=1)) / (waste + 1.0)).sum(axis=1)
            large = -(size[sets] ** 2).sum(axis=1)
            at = int(np.lexsort((large, over))[0])
            if best is None or (over[at], large[at]) < best:
                best, chosen = (float(over[at]), float(large[at])), sets[at]
        if chosen is not None:
            return np.asarray(chosen)
    return None


def _assigned(
    capacity: IntArray, use: IntArray, filling: _Filling, seed: int, clock: Clock
) -> list[tuple[int, IntArray]] | None:
    """Return what hosts hold once the last of them hold the last VMs; None where that is not found."""
    hosts, vms = filling.last, filling.left
    if (capacity[hosts].sum(axis=0) < use[vms].sum(axis=0)).any():
        return None
    model = cp_model.CpModel()
    on = [[model.new_bool_var("") for _ in hosts] for _ in vms]
    for one in on:
        model.add_exactly_one(one)
    for number, host in enumerate(hosts):
        for row, most in enumerate(capacity[host].tolist()):
            taken = zip(use[vms, row].tolist(), on, strict=True)
            model.add(sum(amount * own[number] for amount, own in taken if amount) <= most)
    clock.check()
    answer = run_model(
        model, budget=EFFORT, seconds=clock.left_s, seed=seed, linearization=1, interrupt=clock.interrupt
    )
    if answer.cut or clock.interrupt.requested:
        raise CutOffError
    if answer.values is None:
        return None
    placed = np.array(answer.values[: len(vms) * len(hosts)]).reshape(len(vms), len(hosts)) > 0
    return filling.held + [(host, vms[placed[:, number]]) for number, host in enumerate(hosts)]

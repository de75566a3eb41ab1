"""Pin a node by CP-SAT where L3 domains matter: rules on them, or as few of them an item as possible."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ortools.sat.python import cp_model

from solvers.pins.cores import Core, Item, L3Rule, PinnedItem, PinResult

EFFORT = 5.0
"""Deterministic time a node; the best answer found by then is taken."""


def pin_node_exact(
    cores: Sequence[Core],
    items: Sequence[Item],
    rules: Sequence[L3Rule] = (),
    *,
    hint: PinResult | None = None,
    floating: int = 0,
) -> PinResult | None:
    """Pin the items of one node under L3 rules, over as few L3 domains an item and then as few shared cores as can be.

    Returns None where no pinning keeps the rules, or none was found within `EFFORT`. `hint` is an answer to start from;
    `floating` of the CPUs that may be floated over are left.
    """
    build = _Model(cores, items, floating)
    for rule in rules:
        build.keep(rule)
    build.minimise()
    if hint is not None:
        build.start_from(hint)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.catch_sigint_signal = False  # the caller's: CP-SAT's own handler ends the process
    solver.parameters.max_deterministic_time = EFFORT
    status = solver.solve(build.model)
    return build.answer(solver) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None


class _Model:
    """Threads that an item takes of a core: ``threads[i, s]`` for its vCPUs, ``extra[i, s]`` for its emulator.

    A spot s is the CPUs of a core that may be floated over, or its others: within one they are the same.
    """

    def __init__(self, cores: Sequence[Core], items: Sequence[Item], floating: int) -> None:
        self.cores = cores
        self.items = items
        self.model = cp_model.CpModel()
        self.spots: list[tuple[int, tuple[int, ...]]] = []
        for c, core in enumerate(cores):
            parts = ([cpu for cpu in core.cpus if (cpu in core.floats) is floats] for floats in (False, True))
            self.spots += [(c, tuple(part)) for part in parts if part]
        self.of_core: dict[int, list[int]] = defaultdict(list)
        for s, (c, _) in enumerate(self.spots):
            self.of_core[c].append(s)
        self.threads: dict[tuple[int, int], cp_model.IntVar] = {}
        self.extra: dict[tuple[int, int], cp_model.IntVar] = {}
        self.sits: dict[tuple[int, int], cp_model.IntVar] = {}
        self.domains: dict[tuple[int, int | None], cp_model.IntVar] = {}
        self.homes: list[cp_model.IntVar] = []
        for i in range(len(items)):
            self._item(i)
        for c in range(len(cores)):
            self._core(c)
        if floating:
            self._leave(floating)

    def _item(self, i: int) -> None:
        """An item takes all its threads, by its thread policy: isolated one a core, others that want whole cores fill
        them, all but one.
        """
        model, item = self.model, self.items[i]
        partly = []
        for s, (_, cpus) in enumerate(self.spots):
            self.threads[i, s] = model.new_int_var(0, min(len(cpus), item.vcpus), "")
            self.extra[i, s] = model.new_int_var(0, min(len(cpus), item.extra), "")
        for c, core in enumerate(self.cores):
            here = self._on_core((i,), c)
            self.sits[i, c] = model.new_bool_var("")
            most = 1 if item.policy == "isolate" else len(core.cpus)
            if (item.policy != "prefer" and not core.whole) or not item.may_have(core):
                most = 0
            model.add(here <= most * self.sits[i, c])
            model.add(here >= self.sits[i, c])
            if item.policy in ("require", "pairs"):
                partly.append(model.new_bool_var(""))
                model.add(core.width * (self.sits[i, c] - partly[-1]) <= here)
        model.add(sum(self.threads[i, s] for s in range(len(self.spots))) == item.vcpus)
        model.add(sum(self.extra[i, s] for s in range(len(self.spots))) == item.extra)
        model.add(sum(partly) <= 1)
        for l3 in {core.l3 for core in self.cores}:
            self.domains[i, l3] = model.new_bool_var("")
            for c, core in enumerate(self.cores):
                if core.l3 == l3:
                    model.add_implication(self.sits[i, c], self.domains[i, l3])

    def _on_core(self, items: Iterable[int], c: int) -> cp_model.LinearExprT:
        return cp_model.LinearExpr.sum([self.threads[i, s] for i in items for s in self.of_core[c]])

    def _core(self, c: int) -> None:
        """A core holds no more threads than are free; one that an item wants whole holds nobody else's."""
        every = range(len(self.items))
        for s in self.of_core[c]:
            taken = sum(self.threads[i, s] + self.extra[i, s] for i in every)
            self.model.add(taken <= len(self.spots[s][1]))
        free = len(self.cores[c].cpus)
        for i in every:
            if self.items[i].policy == "prefer":
                continue
            others = self._on_core((j for j in every if j != i), c)
            emulators = [self.extra[j, s] for j in every for s in self.of_core[c]]
            self.model.add(cp_model.LinearExpr.sum([others, *emulators]) <= free * (1 - self.sits[i, c]))

    def _leave(self, floating: int) -> None:
        """So many of the CPUs that may be floated over are held by nobody: a core taken whole gives up all of its."""
        left = []
        for c, core in enumerate(self.cores):
            if not core.floats:
                continue
            free = self.model.new_int_var(0, len(core.floats), "")
            taken = [
                self.threads[i, s] + self.extra[i, s]
                for s in self.of_core[c]
                if self.spots[s][1][0] in core.floats
                for i in range(len(self.items))
            ]
            self.model.add(free <= len(core.floats) - sum(taken))
            for i, item in enumerate(self.items):
                if item.policy != "prefer":
                    self.model.add(free <= len(core.floats) * (1 - self.sits[i, c]))
            left.append(free)
        self.model.add(sum(left) >= floating)

    def keep(self, rule: L3Rule) -> None:
        """Hold one rule in every L3 domain; CPUs that none is told of are one."""
        domains = sorted({core.l3 for core in self.cores} | rule.there.keys(), key=lambda l3: -1 if l3 is None else l3)
        if rule.max_per is not None:
            for l3 in domains:
                inside = sum(self._inside(own, l3) for own in rule.members)
                self.model.add(inside + rule.there.get(l3, 0) <= rule.max_per + rule.more.get(l3, 0))
            return
        home = {l3: self.model.new_bool_var("") for l3 in domains}
        self.homes += home.values()
        self.model.add(sum(home.values()) <= 1 + rule.more.get(None, 0))
        for l3 in domains:
            if rule.there.get(l3):
                self.model.add(home[l3] == 1)
            for i in itertools.chain.from_iterable(rule.members):
                if (i, l3) in self.domains:
                    self.model.add_implication(self.domains[i, l3], home[l3])

    def _inside(self, items: Iterable[int], l3: int | None) -> cp_model.LinearExprT:
        """Return 1 where any of a VM's items is in a domain."""
        own = [self.domains[i, l3] for i in items if (i, l3) in self.domains]
        if len(own) < 2:
            return sum(own)
        inside = self.model.new_bool_var("")
        for one in own:
            self.model.add_implication(one, inside)
        return inside

    def minimise(self) -> None:
        """Domains of rules and L3 domains first, then cores that two items share, then CPUs that change."""
        pairs = len(self.sits) + 1
        shared = sum(self.sits.values())
        changed = []
        for i, item in enumerate(self.items):
            now = set(item.current or ())
            for s, (_, cpus) in enumerate(self.spots):
                kept = self.model.new_int_var(0, len(now.intersection(cpus)), "")
                self.model.add(kept <= self.threads[i, s])
                changed.append(kept)
        most = sum(item.vcpus for item in self.items) + 1
        told = [var for (_, l3), var in self.domains.items() if l3 is not None]
        used = (len(told) + 1) * sum(self.homes) + sum(told)
        slow = [self.threads[i, s] for i in range(len(self.items)) for s in self._slow(i)]
        self.model.minimize(most * (most * (pairs * used + shared) + sum(slow)) - sum(changed))

    def _slow(self, i: int) -> list[int]:
        """Return the spots where an item for any core had better not be."""
        return [s for s, (c, _) in enumerate(self.spots) if self.cores[c].slow and self.items[i].kind == "any"]

    def start_from(self, hint: PinResult) -> None:
        """Hint an answer."""
        for i, pinned in enumerate(hint.items):
            for s, (_, cpus) in enumerate(self.spots):
                self.model.add_hint(self.threads[i, s], len(set(pinned.cpus).intersection(cpus)))
                self.model.add_hint(self.extra[i, s], len(set(pinned.extra).intersection(cpus)))
            for c, core in enumerate(self.cores):
                self.model.add_hint(self.sits[i, c], not set(pinned.cpus).isdisjoint(core.cpus))

    def answer(self, solver: cp_model.CpSolver) -> PinResult:
        """Give each item CPUs of its spots: those it has now where it may, then the lowest."""
        free = [set(cpus) for _, cpus in self.spots]
        got: dict[int, list[int]] = defaultdict(list)
        extra: dict[int, list[int]] = defaultdict(list)
        for stay in (True, False):
            for i, item in enumerate(self.items):
                mine = set(item.current or ())
                for s, (_, cpus) in enumerate(self.spots):
                    want = solver.value(self.threads[i, s]) - len(set(got[i]).intersection(cpus))
                    usable = [cpu for cpu in sorted(free[s]) if not stay or cpu in mine]
                    got[i].extend(usable[: max(0, want)])
                    free[s].difference_update(got[i])
        idle: set[int] = set()
        for i, item in enumerate(self.items):
            for s in range(len(self.spots)):
                for _ in range(solver.value(self.extra[i, s])):
                    extra[i].append(min(free[s]))
                    free[s].discard(extra[i][-1])
            for c, core in enumerate(self.cores):
                if item.policy != "prefer" and solver.value(self.sits[i, c]):
                    idle.update(core.cpus, core.beside)
        pinned = tuple(PinnedItem(self._ordered(i, got[i]), tuple(extra[i])) for i in range(len(self.items)))
        held = idle.union(*(set(item.cpus) | set(item.extra) for item in pinned))
        return PinResult(items=pinned, held=frozenset(held))

    def _ordered(self, i: int, cpus: Sequence[int]) -> tuple[int, ...]:
        """Return the CPUs in the order they have now if they are the same, else core by core."""
        now = self.items[i].current
        if now is not None and set(now) == set(cpus):
            return now
        where = {cpu: c for c, core in enumerate(self.cores) for cpu in core.cpus}
        return tuple(sorted(cpus, key=lambda cpu: (where[cpu], cpu)))


def l3_used(cores: Sequence[Core], answer: PinResult) -> int:
    """Return Σ over items of the L3 domains that their vCPUs are in."""
    where = {cpu: core.l3 for core in cores for cpu in core.cpus if core.l3 is not None}
    return sum(len({where[cpu] for cpu in item.cpus if cpu in where}) for item in answer.items)


def fewest_l3(cores: Sequence[Core], item: Item) -> int:
    """Return a lower bound of the L3 domains that an item needs on this node when it is alone."""
    room: dict[int, int] = defaultdict(int)
    for core in cores:
        if core.l3 is not None:
            room[core.l3] += int(core.whole and bool(core.cpus)) if item.policy == "isolate" else len(core.cpus)
    need, used = item.vcpus, 0
    for size in sorted(room.values(), reverse=True):
        if need <= 0:
            break
        need -= size
        used += 1
    return used

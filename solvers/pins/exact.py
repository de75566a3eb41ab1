"""Pin a node by CP-SAT where L3 domains matter: rules on them, or as few of them an item as possible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ortools.sat.python import cp_model

from solvers.pins.construct import Core, Item, PinnedItem, PinResult
from solvers.pins.cpu_rows import main_width

EFFORT = 5.0
"""Deterministic time a node; the best answer found by then is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L3Rule:
    """A rule over the items of a node: at most `max_per` of `members` in an L3 domain, or (None) all in one."""

    members: tuple[int, ...]
    max_per: int | None


def pin_node_exact(
    cores: Sequence[Core], items: Sequence[Item], rules: Sequence[L3Rule] = (), *, hint: PinResult | None = None
) -> PinResult | None:
    """Pin the items of one node under L3 rules, over as few L3 domains an item and then as few shared cores as can be.

    Returns None where no pinning keeps the rules, or none was found within `EFFORT`. `hint` is an answer to start from.
    """
    build = _Model(cores, items)
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
    """Threads that an item takes of a core: ``threads[i, c]`` for its vCPUs, ``extra[i, c]`` for its emulator."""

    def __init__(self, cores: Sequence[Core], items: Sequence[Item]) -> None:
        self.cores = cores
        self.items = items
        self.model = cp_model.CpModel()
        self.width = main_width([core.width for core in cores])
        self.threads: dict[tuple[int, int], cp_model.IntVar] = {}
        self.extra: dict[tuple[int, int], cp_model.IntVar] = {}
        self.sits: dict[tuple[int, int], cp_model.IntVar] = {}
        self.domains: dict[tuple[int, int], cp_model.IntVar] = {}
        for i in range(len(items)):
            self._item(i)
        for c in range(len(cores)):
            self._core(c)

    def _item(self, i: int) -> None:
        """An item takes all its threads, by its thread policy: isolated one a core, required ones on whole cores
        only.
        """
        model, item = self.model, self.items[i]
        for c, core in enumerate(self.cores):
            whole = core.whole and core.width in ((self.width, 1) if item.policy == "isolate" else (self.width,))
            most = len(core.cpus)
            if item.policy == "isolate":
                most = int(whole)
            elif item.policy == "require" and not whole:
                most = 0
            self.threads[i, c] = model.new_int_var(0, min(most, item.vcpus), "")
            self.extra[i, c] = model.new_int_var(0, min(len(core.cpus), item.extra), "")
            self.sits[i, c] = model.new_bool_var("")
            model.add(self.threads[i, c] <= most * self.sits[i, c])
            model.add(self.threads[i, c] >= self.sits[i, c])
        every = range(len(self.cores))
        model.add(sum(self.threads[i, c] for c in every) == item.vcpus)
        model.add(sum(self.extra[i, c] for c in every) == item.extra)
        if item.policy == "require":
            model.add(sum(self.sits[i, c] for c in every) == -(-item.vcpus // self.width))
        for l3 in sorted({core.l3 for core in self.cores if core.l3 is not None}):
            self.domains[i, l3] = model.new_bool_var("")
            for c, core in enumerate(self.cores):
                if core.l3 == l3:
                    model.add_implication(self.sits[i, c], self.domains[i, l3])

    def _core(self, c: int) -> None:
        """A core has its free threads; one that holds an isolated or required item holds nobody else."""
        every = range(len(self.items))
        free = len(self.cores[c].cpus)
        self.model.add(sum(self.threads[i, c] + self.extra[i, c] for i in every) <= free)
        for i in every:
            if self.items[i].policy == "prefer":
                continue
            others = sum(self.threads[j, c] for j in every if j != i) + sum(self.extra[j, c] for j in every)
            self.model.add(others <= free * (1 - self.sits[i, c]))

    def keep(self, rule: L3Rule) -> None:
        """Hold one rule in every L3 domain."""
        domains = sorted({l3 for _, l3 in self.domains})
        if rule.max_per is not None:
            for l3 in domains:
                self.model.add(sum(self.domains[i, l3] for i in rule.members) <= rule.max_per)
            return
        home = {l3: self.model.new_bool_var("") for l3 in domains}
        self.model.add(sum(home.values()) <= 1)
        for i in rule.members:
            for l3 in domains:
                self.model.add_implication(self.domains[i, l3], home[l3])

    def minimise(self) -> None:
        """L3 domains first, then cores that two items share, then CPUs that change."""
        pairs = len(self.sits) + 1
        shared = sum(self.sits.values())
        changed = []
        for i, item in enumerate(self.items):
            now = set(item.current or ())
            for c, core in enumerate(self.cores):
                kept = self.model.new_int_var(0, len(now & set(core.cpus)), "")
                self.model.add(kept <= self.threads[i, c])
                changed.append(kept)
        most = sum(item.vcpus for item in self.items) + 1
        self.model.minimize(most * (pairs * sum(self.domains.values()) + shared) - sum(changed))

    def start_from(self, hint: PinResult) -> None:
        """Hint an answer."""
        for i, pinned in enumerate(hint.items):
            for c, core in enumerate(self.cores):
                count = len(set(pinned.cpus) & set(core.cpus))
                self.model.add_hint(self.threads[i, c], count)
                self.model.add_hint(self.sits[i, c], count > 0)
                self.model.add_hint(self.extra[i, c], len(set(pinned.extra) & set(core.cpus)))

    def answer(self, solver: cp_model.CpSolver) -> PinResult:
        """Give each item CPUs of its cores: those it has now where it may, then the lowest."""
        free = [set(core.cpus) for core in self.cores]
        got: dict[int, list[int]] = defaultdict(list)
        extra: dict[int, list[int]] = defaultdict(list)
        for stay in (True, False):
            for i, item in enumerate(self.items):
                for c, core in enumerate(self.cores):
                    want = solver.value(self.threads[i, c]) - len(set(got[i]) & set(core.cpus))
                    mine = set(item.current or ())
                    usable = [cpu for cpu in sorted(free[c]) if not stay or cpu in mine]
                    got[i].extend(usable[: max(0, want)])
                    free[c].difference_update(got[i])
        idle: set[int] = set()
        for i, item in enumerate(self.items):
            for c, core in enumerate(self.cores):
                for _ in range(solver.value(self.extra[i, c])):
                    extra[i].append(min(free[c]))
                    free[c].discard(extra[i][-1])
                if item.policy != "prefer" and solver.value(self.sits[i, c]):
                    idle.update(core.cpus)
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
            room[core.l3] += int(core.whole) if item.policy == "isolate" else len(core.cpus)
    need, used = item.vcpus, 0
    for size in sorted(room.values(), reverse=True):
        if need <= 0:
            break
        need -= size
        used += 1
    return used

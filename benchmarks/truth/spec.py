"""Random small fleets against the reference: does any engine claim what is not so?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.registry import SMOKE, Job, Row, Spec
from benchmarks.truth.cases import Case, case_of
from benchmarks.truth.fleets import FAMILIES, draw
from benchmarks.truth.mutate import kinds, mutated
from benchmarks.truth.race import Outcome, check_witness, race, reference
from benchmarks.truth.reference import Answer
from benchmarks.truth.shrink import shrink
from placer.errors import InputError
from solvers.choice import Engine

ENGINES: Sequence[Engine] = ("auto", "exact", "columns", "greedy")
ALL = "all"
MUTATED = "mutated"
WITNESS = "check of the reference's plan"
_SMOKE_SEEDS = 1


def rows_of(family: str, seed: int, engines: Sequence[Engine] = ENGINES) -> Iterator[Row]:
    """Race one fleet of a family: a row an engine, and one for what `placer.check` says of the reference's own plan."""
    yield from _rows(draw(family, seed), family, seed, engines)


def _rows(case: Case, family: str, seed: int, engines: Sequence[Engine]) -> Iterator[Row]:
    truth = reference(case)
    if truth.status == "optimal":
        faults = check_witness(case, truth)
        yield _row(WITNESS, family, seed, 0.0, Outcome(verdict="failed" if faults else "proven", wrong=faults), case)
    for engine in engines:
        began = time.monotonic()
        outcome = race(case, engine, truth)
        seconds = time.monotonic() - began
        yield _row(engine, family, seed, seconds, outcome, _small(case, engine, outcome))


def _row(method: str, family: str, seed: int, seconds: float, outcome: Outcome, case: Case) -> Row:
    row: Row = {
        "method": method,
        "instance": family,
        "seed": seed,
        "seconds": seconds,
        "status": outcome.verdict,
        "wrong": "; ".join(outcome.wrong) or None,
    }
    if outcome.wrong:
        row["case"] = json.dumps(case.to_json())
    return row


def _small(case: Case, engine: Engine, outcome: Outcome) -> Case:
    """Return a failing case made small: it fails in the same way, and the reference still has an answer to it."""
    if not outcome.wrong:
        return case
    kind = outcome.wrong[0].partition(" ")[0]

    def fails(smaller: Case) -> bool:
        truth: Answer = reference(smaller)
        found = race(smaller, engine, truth) if truth.status == "optimal" else None
        return found is not None and any(text.startswith(kind) for text in found.wrong)

    return shrink(case, fails)


def _cases(path: Path) -> list[Case]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return [case_of(one) for one in (data if isinstance(data, list) else [data])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is no case or list of cases: {error}",
            file=str(path),
            cure='write {"inventory": {…}, "goals": "placed,remote", "options": {"max_moves": 1}}',
        ) from None


def _measure(job: Job) -> Iterator[Row]:
    if job.data is not None:
        for number, case in enumerate(_cases(job.data)):
            yield from _rows(case, f"{job.data.name} {number}", 0, ENGINES)
        return
    if job.size == MUTATED:
        for seed in job.seeds:
            yield from (_mutated(kind, seed) for kind in kinds())
        return
    families = tuple(FAMILIES) if job.size in (ALL, SMOKE) else (job.size,)
    seeds = list(job.seeds)[:_SMOKE_SEEDS] if job.size == SMOKE else job.seeds
    for family in families:
        for seed in seeds:
            yield from rows_of(family, seed)


def _mutated(kind: str, seed: int) -> Row:
    wrong, seconds, how = mutated(kind, seed)
    status = how if wrong is None else "failed"
    return {"method": "read", "instance": kind, "seed": seed, "seconds": seconds, "status": status, "wrong": wrong}


SPEC = Spec(
    name="truth",
    about="Random small fleets by an independent model of the documents: is any value, bound or plan of ours wrong?",
    sizes={
        ALL: "every family",
        **{name: f"fleets with {', '.join(sorted(family.features)) or 'no more'}" for name, family in FAMILIES.items()},
        MUTATED: "documents damaged at random: plans, certificates, scenarios, comparisons, results",
        SMOKE: "one fleet a family",
    },
    measure=_measure,
    seeds=20,
    reads="cases as JSON: inventory, goals, options",
)

"""What a sweep solves, and how: variants of a fleet, run as tasks that can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.sweeps.executors import Outcome, Pool, ResumeError, Task, run_sweep, serial

if TYPE_CHECKING:
    from placer.sweeps.answers import Kind

OnDone = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A fleet to plan: the base or one after a scenario, and what was changed."""

    name: str
    fleet: Fleet
    changes: tuple[str, ...] = ()


def swept(
    work: Callable[[Any, Any], Any],
    context: Any,
    tasks: Sequence[Task],
    identity: str,
    pool: Pool | None,
    results: Path | None,
    on_done: OnDone | None,
    *,
    answers: Kind,
) -> tuple[Outcome, ...]:
    """Run a sweep of the planner, whose tasks have answers of this kind; a damaged results file is bad input."""

    def fault(value: Any) -> str | None:
        from placer.sweeps.answers import answer_fault  # pydantic takes its time to import

        return answer_fault(answers, value)

    try:
        return run_sweep(
            work,
            context,
            tasks,
            pool=pool or serial(),
            identity=identity,
            results=results,
            on_done=on_done,
            fault=fault,
        )
    except ResumeError as error:
        raise InputError(str(error), file=str(results), cure="name another file with --results") from None
    except OSError as error:
        if results is None:
            raise
        raise InputError(f"cannot be written: {error}", file=str(results)) from None


def identity_of(what: str, variants: Sequence[Variant], options: SweepOptions) -> str:
    """Return a digest of all that the results of a sweep depend on, the wall limits apart."""
    said = {**asdict(options), "time_limit_s": None, "total_time_s": None}
    fleets = [(variant.name, variant.fleet.digest, len(variant.fleet.vms)) for variant in variants]
    return hashlib.sha256(json.dumps([what, said, fleets], sort_keys=True).encode()).hexdigest()

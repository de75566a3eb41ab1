"""Peers answer the same problem as placer, refuse what they do not know, and their plans are checked like ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.contest import compiled, gap_percent
from benchmarks.instances import exact_fit_fleet
from benchmarks.live_fleets import two_node_fleet
from benchmarks.peers.environment import PeerMissingError, ask, python_of
from benchmarks.peers.heuristics import fit_each
from benchmarks.peers.highs import solve_highs
from benchmarks.peers.nova_env import solve_nova
from benchmarks.peers.rebalancer import pack
from benchmarks.rules import ruled_fleet
from placer.check.check import check
from solvers.evaluate import violations
from solvers.exact.search import solve_exact
from solvers.problem import MoveBudget
from solvers.result import Limits


@pytest.mark.parametrize("seed", range(3))
def test_highs_agrees_with_the_exact_engine_on_live_fleets(seed: int) -> None:
    """With a limit on moves both prove the same number of slots."""
    fleet = two_node_fleet(seed=seed, hosts=3)
    problem = compiled(fleet, "headroom:16x0", MoveBudget(moves=2))[0].problem
    exact = solve_exact(problem, limits=Limits(time_limit_s=20))
    peer = solve_highs(problem, time_limit_s=20)
    assert peer.status == exact.status == "optimal"
    assert peer.values == tuple(found.value for found in exact.objectives)
    assert peer.bounds == peer.values


def test_heuristics_are_within_capacity() -> None:
    """First and best fit break nothing and leave out what they say they leave out."""
    fleet = exact_fit_fleet(seed=2, hosts=2, kind="memory")
    made, _ = compiled(fleet, "placed,remote")
    for rule in ("first", "best"):
        answer = fit_each(made.problem, made.flavors.of_vm, rule)  # type: ignore[arg-type]
        placed = sum(many for pattern in answer.patterns for _, many in pattern.placements)
        assert placed + (answer.values[1] or 0) == len(fleet.vms)
        assert answer.values[0] is not None and answer.bounds == (None, None, None)


def test_peers_refuse_rules() -> None:
    """A peer that knows no rules between hosts refuses them rather than leave them out."""
    fleet = ruled_fleet(seed=0, hosts=10, vms=100, racks=3, share=0.3)
    made, _ = compiled(fleet, "placed,remote")
    assert made.problem.rules
    with pytest.raises(ValueError, match="rules"):
        fit_each(made.problem, made.flavors.of_vm, "first")
    with pytest.raises(ValueError, match="rules"):
        solve_highs(made.problem, time_limit_s=1)
    with pytest.raises(ValueError, match="rules"):
        solve_nova(fleet, range(len(fleet.vms)), pack=False, install=False)


@pytest.mark.parametrize("pack_nodes", [False, True])
def test_nova_plan_passes_the_checker(pack_nodes: bool) -> None:
    """What Nova's own code places is a plan that placer's checker accepts: both mean the same by a fit."""
    fleet = exact_fit_fleet(seed=0, hosts=2, kind="threads")
    try:
        answer = solve_nova(fleet, range(len(fleet.vms)), pack=pack_nodes, install=False)
    except PeerMissingError as error:
        pytest.skip(str(error))
    assert len(answer.plan.vms) + len(answer.plan.unplaced) == len(fleet.vms)
    assert check(fleet, answer.plan).ok


def test_rebalancer_packs() -> None:
    """Three items that need two bins get two."""
    try:
        bins, _ = pack((10, 10), ((6, 1), (6, 1), (4, 9)), time_limit_s=2, seed=0, install=False)
    except PeerMissingError as error:
        pytest.skip(str(error))
    assert bins == 2


def test_missing_peer_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its environment a peer is missing by name; a script that fails is missing with its last words."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PeerMissingError, match=r"nova 34\.0\.0 is not installed"):
        python_of("nova", "34.0.0", install=False)
    script = tmp_path / "child.py"
    script.write_text("raise SystemExit('no such weather')\n")
    with pytest.raises(PeerMissingError, match="child: no such weather"):
        ask(Path(sys.executable), script, {}, time_limit_s=20)


def test_gap_is_unknown_without_a_bound() -> None:
    """A gap needs value and bound; both 0 is no gap."""
    assert gap_percent(3, None) is None and gap_percent(0, 0) == 0.0
    assert gap_percent(200, 100) == 50.0


def test_violations_would_be_seen() -> None:
    """The check behind the peers' answers sees a host filled twice over."""
    fleet = exact_fit_fleet(seed=0, hosts=2, kind="cpu")
    made, _ = compiled(fleet, "placed,remote")
    answer = fit_each(made.problem, made.flavors.of_vm, "first")
    full = max(answer.patterns, key=lambda pattern: len(pattern.placements))
    twice = [
        type(full)(host_class=p.host_class, count=1, placements=tuple((a, 2 * n) for a, n in p.placements))
        for p in answer.patterns
    ]
    assert violations(made.problem, twice, [0] * len(made.problem.flavors))

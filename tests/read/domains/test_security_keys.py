"""Keys and enclave memory of confidential guests: counted where the host counts them, unknown elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer import check, read_fleet, solve
from placer.read.domains.domain_xml import read_domain
from placer.read.hosts.security_keys import resources_of_capacity

DOMAIN = "<domain type='kvm'><name>{}</name><memory unit='GiB'>1</memory><vcpu>1</vcpu>{}</domain>"
SEV = "<launchSecurity type='sev'><policy>{}</policy></launchSecurity>"
EPC = "<devices><memory model='sgx-epc'><target><size unit='MiB'>16</size></target></memory></devices>"


def test_capacity_of_the_misc_cgroup() -> None:
    """Names and counts as the kernel writes them; anything else is left out."""
    assert resources_of_capacity(b"sev 494\nsev_es 15\nrdma 7\ntdx 31\nsgx_epc x\n") == {
        "sev": 494,
        "sev_es": 15,
        "tdx": 31,
    }


@pytest.mark.parametrize(
    ("inner", "taken"),
    [
        (SEV.format("0x0003"), {"sev": 1}),
        (SEV.format("0x0007"), {"sev_es": 1}),
        (SEV.format("5"), {"sev_es": 1}),
        (SEV.format("nonsense"), {"sev": 1}),
        ("<launchSecurity type='sev-snp'/>", {"sev_es": 1}),
        ("<launchSecurity type='tdx'/>", {"tdx": 1}),
        (EPC, {"sgx_epc": 16 << 20}),
        ("<launchSecurity type='s390-pv'/>", {}),
    ],
)
def test_what_a_domain_takes(inner: str, taken: dict[str, int]) -> None:
    """Guests with encrypted state (bit 2 of the policy) and SNP guests take keys of their own kind."""
    assert read_domain(DOMAIN.format("g", inner).encode(), "g.xml").security == taken


@pytest.mark.parametrize(("told", "unplaced"), [("resources: {sev: 2}", 1), ("", 0)])
def test_a_host_has_so_many_keys(tmp_path: Path, told: str, unplaced: int) -> None:
    """The third guest finds no key where the host counts two; a host that counts none refuses nobody."""
    for name in "abc":
        (tmp_path / f"{name}.xml").write_text(DOMAIN.format(name, SEV.format("1")))
    inventory = tmp_path / "f.yaml"
    inventory.write_text(
        "schema: placer.inventory/v1\nhosts:\n"
        f"  - {{name: h, nodes: [{{id: 0, cpus: '0-7', memory: 9GiB}}], {told}}}\n"
        "vms: [{domain: a.xml}, {domain: b.xml}, {domain: c.xml}]\n"
    )
    fleet = read_fleet(inventory)
    plan = solve(fleet)
    assert len(plan.unplaced) == unplaced
    assert check(fleet, plan).ok

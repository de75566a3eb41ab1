"""Usage from tables and from virsh domstats, joined by UUID or name."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.vm import Usage, Vm, VmSpec
from placer.read.imports.usage import join_usage, oversized, percentile, read_usage

SPEC = VmSpec(vcpus=4, memory_kib=4 << 20)
UUID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"


def domstats(name: str, cpu_s: float, usable_mib: int | None) -> str:
    """Return one domain's lines of ``virsh domstats`` as libvirt writes them."""
    balloon = "" if usable_mib is None else f"  balloon.available=1048576\n  balloon.usable={usable_mib * 1024}\n"
    return f"Domain: '{name}'\n  state.state=1\n  cpu.time={int(cpu_s * 1e9)}\n{balloon}  vcpu.current=2\n\n"


def test_table_of_shares(tmp_path: Path) -> None:
    """A CSV with any delimiter gives shares by VM; an empty cell is not known."""
    path = tmp_path / "usage.csv"
    path.write_text("vm;cpu_p95;memory_p95\ndb;0.1;0.25\nweb;;1\n")
    assert read_usage(path) == {"db": Usage(cpu_p95=0.1, memory_p95=0.25), "web": Usage(memory_p95=1.0)}


def test_every_bad_share_is_named(tmp_path: Path) -> None:
    """Shares above 1, per cent signs, NaN and a VM that is there twice are faults with their lines, all at once."""
    path = tmp_path / "usage.csv"
    path.write_text("vm,cpu_p95\na,12\nb,10%\nc,nan\nd,0.5\nd,0.5\n")
    with pytest.raises(InputError) as caught:
        read_usage(path)
    assert [(fault.line, fault.field) for fault in caught.value.faults] == [
        (2, "cpu_p95"),
        (3, "cpu_p95"),
        (4, "cpu_p95"),
        (6, "vm"),
    ]


def test_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    """A table without a VM column or without shares is refused, and told which columns it has."""
    path = tmp_path / "usage.csv"
    path.write_text("machine,cpu\na,0.5\n")
    with pytest.raises(InputError, match="machine, cpu"):
        read_usage(path)


def test_domstats_samples(tmp_path: Path) -> None:
    """CPU is time spent over time that the vCPUs had; memory what the guest cannot give up; a restart counts none."""
    path = tmp_path / "stats.txt"
    times = [0, 12, 24, 1, 61]  # two vCPUs and 60 s: 0.1, 0.1, restarted, 0.5
    path.write_text("".join(domstats("it's", time, 768) + domstats("mute", time, None) for time in times))
    found = read_usage(path, interval_s=60)
    assert found["it's"] == Usage(cpu_p95=0.5, memory_p95=0.25)
    assert found["mute"].memory_p95 is None
    assert read_usage(path)["it's"].cpu_p95 is None


def test_one_sample_is_no_percentile() -> None:
    """One sample tells nothing; of a hundred the 95th percentile is the 95th in order."""
    assert percentile([0.5]) is None
    assert percentile([number / 100 for number in range(100, 0, -1)]) == 0.95


def test_join_by_uuid_before_name_and_keep_what_is_unknown() -> None:
    """A UUID counts before a name, unknown figures leave the old ones, and keys without a VM are told."""
    old = Usage(cpu_p95=0.9, memory_p95=0.9)
    fleet = Fleet(hosts=(), vms=(Vm(name="a", spec=SPEC, uuid=UUID, usage=old), Vm(name="b", spec=SPEC)))
    given = {UUID: Usage(cpu_p95=0.1), "a": Usage(cpu_p95=0.7), "b": Usage(memory_p95=0.2), "c": Usage(cpu_p95=1.0)}
    joined, strangers = join_usage(fleet, given)
    assert [vm.usage for vm in joined.vms] == [Usage(cpu_p95=0.1, memory_p95=0.9), Usage(memory_p95=0.2)]
    assert strangers == ("a", "c")


def test_oversized_lists_most_idle_first_and_nobody_unknown() -> None:
    """Below either limit is listed, at the limit is not, and a VM of unknown usage never is."""
    shares = {"busy": (0.9, 0.9), "edge": (0.25, 0.5), "idle": (0.01, None), "lean": (0.2, 0.9), "fat": (None, 0.1)}
    vms = [
        Vm(name=name, spec=SPEC, usage=Usage(cpu_p95=cpu, memory_p95=memory)) for name, (cpu, memory) in shares.items()
    ]
    found = oversized([*vms, Vm(name="unknown", spec=SPEC)], cpu_below=0.25, memory_below=0.5)
    assert [entry.vm.name for entry in found] == ["idle", "lean", "fat"]
    assert found[1].used_vcpus == pytest.approx(0.8)
    assert found[2].used_vcpus is None
    assert found[2].used_kib == round(0.1 * SPEC.memory_kib)

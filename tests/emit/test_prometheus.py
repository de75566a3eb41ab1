"""Metrics in Prometheus' text format: every line is one, whatever a name holds, and families are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from placer.cli.app import main
from placer.emit.prometheus import Family, exposition, headroom_families
from placer.errors import Fault
from placer.live.metrics import verify_families
from placer.live.verify import Drift, Verification, Verified, Where
from placer.whatif.headroom import Headroom

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
LINE = re.compile(rf"[a-z_]+(?:\{{{LABEL}(?:,{LABEL})*\}})? -?[0-9.e+-]+")


def samples(text: str) -> list[str]:
    """Return the samples of a text in which every line is a sample, a help or a type, each family's in front."""
    assert text == "" or text.endswith("\n")
    told, out = "", []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            told = line.split()[2]
        elif not line.startswith(f"# TYPE {told} gauge"):
            assert LINE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] == told
            out.append(line)
    return out


@pytest.mark.parametrize("name", ['a"b', "back\\slash", "two\nlines", "{x}", "größe"])
def test_names_stay_in_their_quotes(name: str) -> None:
    """Quotes, backslashes and line ends are escaped; what is not known is not told."""
    text = exposition([Family(name="placer_x_vms", help="a\nb", samples=[({"host": name}, 1), ({"host": "y"}, None)])])
    assert len(samples(text)) == 1
    (found,) = re.findall(r'host="((?:[^"\\]|\\.)*)"', text)
    assert re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), found) == name


def test_headroom_by_host() -> None:
    """Totals, bounds that are known, and the parts that were asked for."""
    one = Headroom(flavor="4x8GiB", total=3, at_most=None, hosts=("a", "b"), counts=(1, 2), limits={})
    assert samples(exposition(headroom_families([one], "host"))) == [
        'placer_headroom_vms{flavor="4x8GiB"} 3',
        'placer_headroom_part_vms{flavor="4x8GiB",by="host",part="a"} 1',
        'placer_headroom_part_vms{flavor="4x8GiB",by="host",part="b"} 2',
    ]


def test_a_flavor_asked_for_twice_is_one_series() -> None:
    """Two samples of one name and the same labels would make the whole scrape invalid."""
    one = Headroom(flavor="4x8GiB", total=3, at_most=3, hosts=("a", "b"), counts=(1, 2), limits={})
    found = samples(exposition(headroom_families([one, one], "host")))
    assert len(found) == len(set(found)) == 4


def test_four_hundred_hosts_by_the_conventions() -> None:
    """No series twice, one HELP and TYPE a family, ratios of 0 to 1, and no suffix of another type of metric."""
    from prometheus_client.parser import text_string_to_metric_families as parsed

    names = [*(f"kvm-{number:03}" for number in range(396)), 'a"b', "back\\slash", "two\nlines", "größe"]
    vms = tuple(
        Verified(vm=f"{name}/{k}", host=name, state="running", planned_share=k / 4, measured_share=k / 5)
        for name in names
        for k in range(4)
    )
    rooms = [
        Headroom(flavor=flavor, total=1600, at_most=1700, hosts=tuple(names), counts=[4] * 400, limits={})
        for flavor in ("4x8GiB", "16x64GiB/2")
    ]
    text = exposition([*headroom_families(rooms, "host"), *verify_families(Verification(vms=vms))])
    series = [line.rpartition(" ")[0] for line in samples(text)]
    assert len(series) == len(set(series)) > 3000
    told = [line.split(" ", 3)[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(told) == len(set(told)) == text.count("# HELP ")
    assert not any(name.endswith(("_total", "_count", "_sum", "_bucket", "_info")) for name in told)
    for family in parsed(text):
        assert {sample.labels.get("host", sample.labels.get("part", "a")) for sample in family.samples} <= {"a", *names}
        assert not family.name.endswith("_ratio") or all(0 <= sample.value <= 1 for sample in family.samples)


def test_drift_and_locality_by_host() -> None:
    """Counts of VMs and drifts, and the mean share of remote accesses as planned and as measured."""
    drift = Drift(where=next(iter(Where)), what="pins")
    vms = (
        Verified(vm="x", host="a", state="running", drifts=(drift, drift), planned_share=0.0, measured_share=0.5),
        Verified(vm="y", host="a", state="running", planned_share=0.2),
        Verified(vm="z", host="b", state="gone", looked_at=False),
    )
    found = samples(exposition(verify_families(Verification(vms=vms, failures=(Fault(message="b is away"),)))))
    assert 'placer_drifts{host="a"} 2' in found and 'placer_drifted_vms{host="a"} 1' in found
    assert 'placer_seen_vms{host="b"} 0' in found and "placer_unreached_hosts 1" in found
    assert 'placer_remote_access_ratio{host="a",source="planned"} 0.1' in found
    assert 'placer_remote_access_ratio{host="a",source="measured"} 0.5' in found
    assert not any('host="b",source' in line for line in found)


def test_the_verb_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """placer headroom --format prometheus is nothing but metrics."""
    path = tmp_path / "fleet.yaml"
    host = '{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}], reserve: {cpus: "0", memory: 1GiB}}'
    path.write_text(f"schema: placer.inventory/v1\nhosts: [{host}]\nvms: []\n")
    assert main(["headroom", str(path), "--flavor", "1x1GiB", "--format", "prometheus"]) == 0
    assert 'placer_headroom_vms{flavor="1x1GiB"} 3' in samples(capsys.readouterr().out)


def test_prometheus_own_parser_reads_them_back() -> None:
    """Its client's parser gives back every family, label and value, whatever characters names hold."""
    from prometheus_client.parser import text_string_to_metric_families as parsed

    names = ['a"b', "back\\slash", "two\nlines", "tab\tand\rreturn", "{x}", "größe", "", "a,b=c", "\\n"]
    vms = tuple(
        Verified(vm=f"v{n}", host=name, state="running", planned_share=n / 7, measured_share=None)
        for n, name in enumerate(names)
    )
    room = Headroom(flavor="4x8GiB", total=10**7, at_most=10**7, hosts=tuple(names), counts=range(9), limits={})
    families = [*headroom_families([room], "host"), *verify_families(Verification(vms=vms))]
    read = {family.name: family for family in parsed(exposition(families))}
    told = [family for family in families if any(value is not None for _, value in family.samples)]
    assert set(read) == {family.name for family in told}
    for family in told:
        back = read[family.name]
        assert (back.type, back.documentation) == ("gauge", family.help)
        known = [(labels, value) for labels, value in family.samples if value is not None]
        assert [dict(sample.labels) for sample in back.samples] == [dict(labels) for labels, _ in known]
        assert [sample.value for sample in back.samples] == pytest.approx([value for _, value in known], rel=1e-9)

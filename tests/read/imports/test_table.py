"""Tables by a map: any column names, units, joins and rules; golden inventories written by hand."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from placer.errors import InputError, MissingToolError
from placer.model.rules import RuleKind
from placer.model.vm import CellMode, Movable
from placer.read.imports.gathered import Imported
from placer.read.imports.table import import_table
from placer.read.imports.table_file import read_table
from placer.read.inventory.inventory import parse_fleet

HOSTS_CSV = "host;rack;cpus0;cpus1;mem0;state\nkvm1;r1;8;8;64;up\nkvm2;r2;8;4;32;up\nkvm3;r2;8;8;64;down\n"
HOSTS_MAP = """schema: placer.map/v1
hosts:
  file: hosts.csv
  where: {state: up}
  entry:
    name: "{host}"
    threads_per_core: 2
    nodes:
      - {id: 0, cpu_count: "{cpus0}", memory: "{mem0}GiB"}
      - {id: 1, cpu_count: "{cpus1}", memory: "{mem0}GiB"}
    labels: {rack: "{rack}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a table of hosts."""
    (tmp_path / "hosts.csv").write_text(HOSTS_CSV)
    return tmp_path


def take(folder: Path, text: str, **files: Path) -> Imported:
    """Import by a map, and make sure that the text reads back as the fleet."""
    (folder / "map.yaml").write_text(text)
    imported = import_table(folder / "map.yaml", folder=folder, files=files)
    read = parse_fleet(imported.text().encode(), "fleet.yaml", folder)
    assert (read.hosts, read.vms) == (imported.fleet.hosts, imported.fleet.vms)
    return imported


def test_a_map_of_hosts_gives_this_inventory(folder: Path) -> None:
    """Rows that are down are left out, CPUs are numbered as Linux does, units come from the map."""
    assert take(folder, HOSTS_MAP).text().partition("schema:")[2] == (
        " placer.inventory/v1\n"
        "hosts:\n"
        "  - name: kvm1\n"
        "    nodes:\n"
        '      - {id: 0, cpus: "0-3,8-11", memory: 64GiB}\n'
        '      - {id: 1, cpus: "4-7,12-15", memory: 64GiB}\n'
        "    threads_per_core: 2\n"
        "    labels: {rack: r1}\n"
        "  - name: kvm2\n"
        "    nodes:\n"
        '      - {id: 0, cpus: "0-3,6-9", memory: 32GiB}\n'
        '      - {id: 1, cpus: "4-5,10-11", memory: 32GiB}\n'
        "    threads_per_core: 2\n"
        "    labels: {rack: r2}\n"
    )


def test_what_the_map_leaves_behind_is_listed(folder: Path) -> None:
    """Unused columns and rows left out are told, in the inventory too."""
    imported = take(folder, HOSTS_MAP.replace('    labels: {rack: "{rack}"}\n', ""))
    assert any(said.endswith("does not use: rack") for said in imported.fleet.warnings)
    assert any(said.startswith("1 rows of") for said in imported.fleet.warnings)
    assert "# - columns of the hosts table that the map does not use: rack" in imported.text()


def test_vms_with_units_values_defaults_splits_and_scales(folder: Path) -> None:
    """Each way to make a value of a cell, on one table."""
    (folder / "vms.csv").write_text(
        'id,cores,ram,on,where,at,load,nic\n1,8.0,"16,384",yes,kvm1,0;1,45,2\n2,2,"2,048",no,,,,\n'
    )
    imported = take(
        folder,
        HOSTS_MAP
        + """vms:
  file: vms.csv
  thousands: ","
  entry:
    name: "vm{id}-{@row}-{{x}}"
    vcpus: "{cores}"
    memory: "{ram}MiB"
    cells: {column: at, split: ";", count: true, default: none}
    host: "{where}"
    nodes: {column: at, split: ";"}
    running: {column: on, values: {"yes": true, "no": false}}
    usage: {cpu_p95: {column: load, scale: 0.01}}
    labels: {kind: "m{id}", odd: {column: id, modulo: 2}}
    devices: [{kind: nic, count: "{nic}"}]
""",
    )
    one, two = imported.fleet.vms
    assert (one.name, one.spec.vcpus, one.spec.memory_kib) == ("vm1-0-{x}", 8, 16 * 1024**2)
    assert one.spec.cell_mode is CellMode.GIVEN and len(one.spec.cells) == 2
    assert one.current is not None and (one.current.host, one.current.nodes) == ("kvm1", (0, 1))
    assert one.usage is not None and one.usage.cpu_p95 == 0.45
    assert (one.spec.labels, one.running, one.spec.devices[0].count) == ({"kind": "m1", "odd": "1"}, True, 2)
    assert (two.spec.cell_mode, two.current, two.usage, two.running) == (CellMode.NONE, None, None, False)
    assert two.spec.labels["odd"] == "0"


def test_joins_and_rules_for_each_value(folder: Path) -> None:
    """A second table adds columns; a rule is made for each group, in order, and for chosen rows only."""
    (folder / "vms.csv").write_text("vm,cpu,mem,group,kind\na,1,1,g2,apart\nb,1,1,g1,apart\nc,1,1,g3,near\nd,1,1,,\n")
    (folder / "use.csv").write_text("name,share\na,0.5\nc,0.25\n")
    imported = take(
        folder,
        HOSTS_MAP
        + """vms:
  file: vms.csv
  join: [{file: use.csv, on: "{vm}", key: name}]
  entry: {name: "{vm}", vcpus: "{cpu}", memory: "{mem}GiB", labels: {group: "{group}"}, usage: {cpu_p95: "{share}"}}
rules:
  - {drain: kvm2}
  - for_each: {table: vms, column: group, where: {kind: apart}}
    rule: {anti_affinity: {group: "{group}"}, scope: rack}
  - for_each: {table: vms, column: group, where: {kind: [near, far]}}
    rule: {affinity: {group: "{group}"}}
""",
    )
    assert [(rule.kind, rule.members, rule.scope) for rule in imported.fleet.rules] == [
        (RuleKind.DRAIN, None, "host"),
        (RuleKind.ANTI_AFFINITY, {"group": "g2"}, "rack"),
        (RuleKind.ANTI_AFFINITY, {"group": "g1"}, "rack"),
        (RuleKind.AFFINITY, {"group": "g3"}, "host"),
    ]
    assert [vm.usage and vm.usage.cpu_p95 for vm in imported.fleet.vms] == [0.5, None, 0.25, None]
    assert any("no row for 2 of 4 rows" in said for said in imported.fleet.warnings)


def test_hosts_of_which_only_totals_are_known(folder: Path) -> None:
    """Sockets, cores and memory of a host become equal nodes, with threads where the table says so."""
    (folder / "hosts.csv").write_text(
        "Host,# CPU,# Cores,HT Active,# Memory\nesx1,2,8,True,65536\nesx2,1,4,False,16384\n"
    )
    imported = take(
        folder,
        """schema: placer.map/v1
hosts:
  file: hosts.csv
  entry:
    name: "{Host}"
    threads_per_core: {column: HT Active, values: {"True": 2, "False": 1}}
    equal_nodes: {count: "{# CPU}", cores: "{# Cores}", memory: "{# Memory}MiB"}
""",
    )
    one, two = (host.topology for host in imported.fleet.hosts)
    assert [sorted(node.cpus) for node in one.nodes] == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
    assert one.nodes[0].memory_kib == 32 * 1024**2 and len(one.cores) == 8
    assert [sorted(node.cpus) for node in two.nodes] == [[0, 1, 2, 3]] and len(two.cores) == 4


def test_faults_of_rows_stand_at_their_line_in_the_table(folder: Path) -> None:
    """A bad cell is told with the table's name and the row's line, all rows at once."""
    (folder / "vms.csv").write_text('vm,cpu,mem\na,x,4\n"b\nc",2,4\nd,2,lots\na,1,1\n')
    with pytest.raises(InputError) as caught:
        take(folder, HOSTS_MAP + 'vms:\n  file: vms.csv\n  entry: {name: "{vm}", vcpus: "{cpu}", memory: "{mem}GiB"}\n')
    found = [(Path(fault.file or "").name, fault.line, fault.field) for fault in caught.value.faults]
    assert found == [
        ("vms.csv", 2, "vms[a].vcpus"),
        ("vms.csv", 5, "vms[d].memory"),
        ("vms.csv", 6, "vms[a].name"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("{host}", "{hsot}", 6, "no column 'hsot'"),
        ('name: "{host}"', 'name: "{host"', 6, "lone {"),
        ("state: up", "stat: up", 4, "no column 'stat'"),
        ("file: hosts.csv", "file: none.csv", None, "none.csv"),
        ("file: hosts.csv", "fil: hosts.csv", 3, "unknown key"),
        ("placer.map/v1", "placer.plan/v1", 1, "no map"),
        ("  entry:", "  entri:", None, "with an entry"),
        ("  where: {state: up}", "  join: {file: hosts.csv, on: x}", None, "a join says file, on and key"),
        ("  where: {state: up}", '  join: {file: hosts.csv, on: "{host}", key: nm}', 4, "no column 'nm'"),
        ("  where: {state: up}", '  join: {file: hosts.csv, on: "{host}", key: rack}', 4, "twice"),
        ('cpu_count: "{cpus0}"', "cpu_count: {column: cpus0, scale: x}", 9, "scale is not a number"),
    ],
)
def test_faults_of_the_map_stand_at_their_line(folder: Path, old: str, new: str, line: int | None, words: str) -> None:
    """A column that is not there, a key that does not exist, a table that cannot be read."""
    with pytest.raises(InputError) as caught:
        take(folder, HOSTS_MAP.replace(old, new, 1))
    assert any(words in str(fault) and line in (None, fault.line) for fault in caught.value.faults), caught.value


def test_numbers_of_cpus_must_make_whole_cores(folder: Path) -> None:
    """Seven CPUs with two threads a core are a fault at the row."""
    (folder / "hosts.csv").write_text(HOSTS_CSV.replace("kvm2;r2;8", "kvm2;r2;7"))
    with pytest.raises(InputError, match=r"hosts.csv:3: hosts.nodes.cpu_count"):
        take(folder, HOSTS_MAP)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a,b\n1,2,3\n", "3 cells for 2 columns"),
        (b'a,b\n"1,2\n', "not CSV"),
        (b"a,b\n\xff,2\n", "cannot be read as"),
        (b"a\0b\n", "NUL"),
        (b"PK\x03\x04 rubbish", "workbook"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    """One plain sentence for what cannot be read as rows and columns."""
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises((InputError, MissingToolError), match=words):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(("delimiter", "mark"), [(None, ","), (None, ";"), (None, "\t"), (None, "|"), ("#", "#")])
def test_delimiters_are_found_or_said(tmp_path: Path, delimiter: str | None, mark: str) -> None:
    """The first line shows what stands between cells; anything else can be said."""
    (tmp_path / "t.csv").write_text(f"a{mark}b\n1{mark}2\n\n3\n")
    table = read_table(tmp_path / "t.csv", delimiter=delimiter)
    assert (table.columns, table.rows, table.lines) == (("a", "b"), (("1", "2"), ("3", "")), (2, 4))


def test_a_workbook_is_read_by_sheet(tmp_path: Path) -> None:
    """Cells come as a person sees them: whole numbers whole, truth in small letters, empty rows left out."""
    if importlib.util.find_spec("python_calamine") is None or importlib.util.find_spec("xlsxwriter") is None:
        pytest.skip("the extra 'excel' is not installed")
    import xlsxwriter

    book = xlsxwriter.Workbook(str(tmp_path / "t.xlsx"))
    book.add_worksheet("first").write_row(0, 0, ["x"])
    sheet = book.add_worksheet("vInfo")
    for number, row in enumerate((["VM", "CPUs", "On", "Share"], ["a", 4, True, 0.5], [], ["b", 8, False, ""])):
        sheet.write_row(number, 0, row)
    book.close()
    table = read_table(tmp_path / "t.xlsx", sheet="vInfo")
    assert table.columns == ("VM", "CPUs", "On", "Share")
    assert table.rows == (("a", "4", "true", "0.5"), ("b", "8", "false", ""))
    assert table.lines == (2, 4)
    with pytest.raises(InputError, match="no sheet 'none'"):
        read_table(tmp_path / "t.xlsx", sheet="none")


def test_the_bytedance_snapshot(repository: Path, shared_dir: Path) -> None:
    """279 hosts of two nodes and 2,089 VMs with their host and nodes, each figure as in the trace."""
    trace = shared_dir / "traces/bytedance"
    imported = import_table(
        repository / "tests/read/maps/bytedance.yaml",
        folder=repository,
        files={"hosts": trace / "medium_hosts.csv", "vms": trace / "medium_vms.csv"},
    )
    fleet = imported.fleet
    assert (len(fleet.hosts), len(fleet.vms), len({id(vm.spec) for vm in fleet.vms})) == (279, 2089, 11)
    with (trace / "medium_vms.csv").open() as file:
        for row, vm in zip(csv.DictReader(file), fleet.vms, strict=True):
            assert vm.current is not None
            assert vm.current.host == fleet.hosts[int(row["host_index"])].name
            assert list(vm.current.nodes or ()) == [int(node) for node in row["numa_nodes"].split(";")]
            assert (vm.spec.vcpus, vm.spec.memory_kib) == (int(row["cpu"]), float(row["mem_mb"]) * 1024)
            assert (len(vm.spec.cells), vm.spec.overhead_kib) == (row["numa_nodes"].count(";") + 1, 0)
            assert vm.movable is (Movable.LIVE if row["allow_migration"] == "True" else Movable.NO)
    for host in fleet.hosts:
        assert [(len(node.cpus), node.memory_kib) for node in host.topology.nodes] == [(44, 184388 * 1024)] * 2


@pytest.mark.parametrize(("name", "groups"), [("C1", (50, 74, 3)), ("C2", (62, 78, 3)), ("C3", (61, 86, 3))])
def test_the_topology_aware_set(
    repository: Path, shared_dir: Path, tmp_path: Path, name: str, groups: tuple[int, int, int]
) -> None:
    """1,710 hosts of uneven nodes in 100 racks, 4,998 VMs, and a rule a group."""
    trace = shared_dir / "traces/topo_aware"
    text = (repository / "tests/read/maps/topo_aware.yaml").read_text()
    (tmp_path / "map.yaml").write_text(text.replace("file: topology.csv", f"file: {trace / 'topology.csv'}"))
    imported = import_table(
        tmp_path / "map.yaml", folder=tmp_path, files={"hosts": trace / "pm.csv", "vms": trace / f"vm_{name}.csv"}
    )
    fleet = imported.fleet
    assert (len(fleet.hosts), len(fleet.vms)) == (1710, 4998)
    kinds = [rule.kind for rule in fleet.rules]
    assert groups == tuple(kinds.count(kind) for kind in (RuleKind.ANTI_AFFINITY, RuleKind.AFFINITY, RuleKind.WITHIN))
    with (trace / "pm.csv").open() as file:
        for row, host in zip(csv.DictReader(file), fleet.hosts, strict=True):
            assert [len(node.cpus) for node in host.topology.nodes] == [int(row["cpu0"]), int(row["cpu1"])]
            assert [node.memory_kib // 1024**2 for node in host.topology.nodes] == [int(row["mem0"]), int(row["mem1"])]
    assert len({host.labels["rack"] for host in fleet.hosts}) == 100
    with (trace / f"vm_{name}.csv").open() as file:
        for row, vm in zip(csv.DictReader(file), fleet.vms, strict=True):
            assert (vm.spec.vcpus, len(vm.spec.cells)) == (int(row["cpu"]), int(row["numa"]))
            assert vm.spec.labels.get("group") == (f"{row['strategy']}-{row['group']}" if row["strategy"] else None)


def test_the_bytedance_snapshot_with_clusters(repository: Path, shared_dir: Path, tmp_path: Path) -> None:
    """A VM's cluster comes from its host's row; one rule a cluster keeps its VMs inside."""
    trace = shared_dir / "traces/bytedance"
    text = (repository / "tests/read/maps/bytedance_clusters.yaml").read_text()
    (tmp_path / "map.yaml").write_text(text.replace("file: medium", f"file: {trace}/medium"))
    fleet = import_table(tmp_path / "map.yaml", folder=tmp_path).fleet
    clusters = {host.labels["cluster"] for host in fleet.hosts}
    for vm in fleet.vms:
        assert vm.current is not None
        assert vm.spec.labels == fleet.host_by_name[vm.current.host].labels
    assert {rule.hosts["cluster"] for rule in fleet.rules if rule.hosts} <= clusters
    assert all(rule.kind is RuleKind.WITHIN and rule.members == rule.hosts for rule in fleet.rules)
    assert len(fleet.rules) == len({vm.spec.labels["cluster"] for vm in fleet.vms}) > 1


def test_the_rvtools_map_of_the_reference(repository: Path, tmp_path: Path) -> None:
    """The map in docs/reference/import-maps.md reads a workbook with RVTools' sheets and columns."""
    if importlib.util.find_spec("python_calamine") is None or importlib.util.find_spec("xlsxwriter") is None:
        pytest.skip("the extra 'excel' is not installed")
    import xlsxwriter

    text = (repository / "docs/reference/import-maps.md").read_text()
    book = xlsxwriter.Workbook(str(tmp_path / "rvtools.xlsx"))
    sheets = {
        "vInfo": [
            ["VM", "Powerstate", "Template", "CPUs", "Memory", "Cluster", "Host", "Annotation"],
            ["web", "poweredOn", False, 4, 8192, "c1", "esx1", ""],
            ["old", "poweredOff", False, 2, 4096, "c1", "esx1", "keep"],
            ["master", "poweredOff", True, 2, 4096, "c1", "esx1", ""],
        ],
        "vHost": [
            ["Host", "Cluster", "HT Active", "# CPU", "# Cores", "# Memory"],
            ["esx1", "c1", True, 2, 16, 131072],
        ],
    }
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    imported = take(tmp_path, text.split("```yaml\n")[-1].split("```")[0])
    (host,) = imported.fleet.hosts
    assert [(len(node.cpus), node.memory_kib) for node in host.topology.nodes] == [(16, 64 * 1024**2)] * 2
    assert len(host.topology.cores) == 16 and host.labels == {"cluster": "c1"}
    assert [(vm.name, vm.running, vm.spec.vcpus) for vm in imported.fleet.vms] == [("web", True, 4), ("old", False, 2)]
    assert any("does not use: Annotation" in said for said in imported.fleet.warnings)

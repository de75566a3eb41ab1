"""Importing OpenStack: golden JSON as the client's documentation prints it, and every extra spec in placer's words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind
from placer.model.vm import CellMode, CpuPolicy, EmulatorPolicy, ThreadPolicy
from placer.read.imports.openstack import OpenstackFiles, import_openstack
from placer.read.imports.update import update
from placer.read.inventory.inventory import parse_fleet

HALF_TOLD = {"hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_mem.0": "1"}
UUID = "0f0e0d0c-0b0a-0908-0706-0504030201{:02d}"

# openstack flavor list --long -f json; the second as clients before 5.0 print properties.
FLAVORS: list[dict[str, Any]] = [
    {
        "ID": "f-small",
        "Name": "m1.small",
        "RAM": 2048,
        "Disk": 20,
        "Ephemeral": 0,
        "VCPUs": 1,
        "Is Public": True,
        "Swap": 0,
        "RXTX Factor": 1.0,
        "Properties": {},
    },
    {
        "ID": "f-numa",
        "Name": "numa.large",
        "RAM": 8192,
        "VCPUs": 6,
        "Properties": "hw:cpu_policy='dedicated', hw:cpu_thread_policy='require', hw:mem_page_size='1GB', "
        "hw:numa_cpus.0='0,1', hw:numa_cpus.1='2-5', hw:numa_mem.0='2048', hw:numa_mem.1='6144', hw:numa_nodes='2'",
    },
]
SERVERS: list[dict[str, Any]] = [
    {
        "ID": UUID.format(1),
        "Name": "web",
        "Status": "ACTIVE",
        "Task State": None,
        "Power State": "Running",
        "Networks": {"net": ["10.0.0.4"]},
        "Image Name": "debian",
        "Flavor Name": "m1.small",
        "Flavor ID": "f-small",
        "Availability Zone": "nova",
        "Host": "compute1",
        "Properties": {},
    },
    {"ID": UUID.format(2), "Name": "db", "Status": "SHUTOFF", "Flavor Name": "numa.large", "Host": "compute1"},
]
HYPERVISORS: list[dict[str, Any]] = [
    {
        "ID": 1,
        "Hypervisor Hostname": "compute1.example.org",
        "Hypervisor Type": "QEMU",
        "Host IP": "10.0.0.1",
        "State": "up",
        "vCPUs Used": 7,
        "vCPUs": 128,
        "Memory MB Used": 10240,
        "Memory MB": 515000,
    }
]


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """Return a folder with a host file for the only hypervisor."""
    (tmp_path / "hosts").mkdir()
    shutil.copy(repository / "data/hosts/epyc-nps4.capabilities.xml", tmp_path / "hosts/compute1.xml")
    return tmp_path


def take(
    folder: Path, *, flavors: Any = FLAVORS, servers: Any = SERVERS, hypervisors: Any = HYPERVISORS, **more: Any
) -> Fleet:
    """Import these documents, and make sure that the inventory reads back as the fleet."""
    paths: dict[str, Any] = {}
    documents = {"flavors": flavors, "servers": servers, "hypervisors": hypervisors, **more}
    for name, document in documents.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(document))
        paths[name] = [path] if name == "aggregates" else path
    imported = import_openstack(OpenstackFiles(**paths), topology=folder / "hosts", folder=folder)
    read = parse_fleet(imported.text().encode(), "fleet.yaml", folder)
    assert (read.hosts, read.vms) == (imported.fleet.hosts, imported.fleet.vms)
    return imported.fleet


def flavored(folder: Path, specs: dict[str, str], vcpus: int = 4, ram: int = 4096) -> Fleet:
    """Import one server of a flavor with these extra specs."""
    flavor = {"ID": "f", "Name": "f", "VCPUs": vcpus, "RAM": ram, "Properties": specs}
    return take(
        folder, flavors=[flavor], servers=[{"ID": UUID.format(1), "Name": "v", "Status": "ACTIVE", "Flavor ID": "f"}]
    )


def test_a_cloud_becomes_this_inventory(folder: Path) -> None:
    """The whole text for the golden documents: uneven cells, pages, policies, a stopped server, a short host name."""
    paths = {}
    for name, document in (("flavors", FLAVORS), ("servers", SERVERS), ("hypervisors", HYPERVISORS)):
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(document))
    imported = import_openstack(OpenstackFiles(**paths), topology=folder / "hosts", folder=folder)
    assert imported.text().partition("schema:")[2] == (
        " placer.inventory/v1\n"
        "hosts:\n"
        "  - name: compute1.example.org\n"
        "    topology: hosts/compute1.xml\n"
        "vms:\n"
        "  - name: web\n"
        f"    uuid: {UUID.format(1)}\n"
        "    vcpus: 1\n"
        "    memory: 2GiB\n"
        "    cells: none\n"
        "    cpu_policy: shared\n"
        "    labels: {flavor: m1.small}\n"
        "    host: compute1.example.org\n"
        "  - name: db\n"
        f"    uuid: {UUID.format(2)}\n"
        "    vcpus: 6\n"
        "    memory: 8GiB\n"
        "    cells: [{vcpus: 2, memory: 2GiB}, {vcpus: 4, memory: 6GiB}]\n"
        "    page_size: 1GiB\n"
        "    thread_policy: require\n"
        "    emulator_threads: share\n"
        "    labels: {flavor: numa.large}\n"
        "    host: compute1.example.org\n"
        "    running: false\n"
    )


@pytest.mark.parametrize(
    ("specs", "field", "value"),
    [
        ({}, "cpu_policy", CpuPolicy.SHARED),
        ({"hw:cpu_policy": "dedicated"}, "cpu_policy", CpuPolicy.DEDICATED),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, "dedicated_vcpus", {1, 2, 3}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, "dedicated_vcpus", {0, 1}),
        ({"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"}, "thread_policy", ThreadPolicy.ISOLATE),
        ({"hw:cpu_policy": "dedicated"}, "emulator_threads", EmulatorPolicy.SHARE),
        ({"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "share"}, "emulator_threads", None),
        (
            {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"},
            "emulator_threads",
            EmulatorPolicy.ISOLATE,
        ),
        ({}, "cell_mode", CellMode.NONE),
        ({"hw:cpu_policy": "dedicated"}, "cell_mode", CellMode.GIVEN),
        ({"hw:mem_page_size": "small"}, "cell_mode", CellMode.GIVEN),
        ({"hw:mem_page_size": "small"}, "page_kib", None),
        ({"hw:mem_page_size": "2048"}, "page_kib", 2048),
        ({"hw:mem_page_size": "2MB"}, "page_kib", 2048),
        ({"hw:mem_page_size": "1GB"}, "page_kib", 1024**2),
        ({"hw:mem_page_size": "1048576"}, "page_kib", 1024**2),
        ({"hw:mem_page_size": "large"}, "page_kib", 2048),
    ],
)
def test_extra_specs(folder: Path, specs: dict[str, str], field: str, value: object) -> None:
    """Each extra spec means what Nova's documentation says."""
    assert getattr(flavored(folder, specs).vms[0].spec, field) == value


def test_equal_cells(folder: Path) -> None:
    """``hw:numa_nodes`` alone cuts the VM in equal cells."""
    spec = flavored(folder, {"hw:numa_nodes": "2"}).vms[0].spec
    assert [(len(cell.vcpus), cell.memory_kib) for cell in spec.cells] == [(2, 2 * 1024**2)] * 2


def test_what_cannot_be_carried_over_is_listed(folder: Path) -> None:
    """Extra specs that placer has no words for, PCI aliases without host files, and what the API does not tell."""
    fleet = flavored(
        folder, {"trait:HW_CPU_X86_AVX512F": "required", "hw:cpu_sockets": "2", "pci_passthrough:alias": "a1:2"}
    )
    warnings = "\n".join(fleet.warnings)
    assert "trait:HW_CPU_X86_AVX512F of flavor f is not carried over" in warnings
    assert "hw:cpu_sockets of flavor f is not carried over" in warnings
    assert "pci_passthrough:alias a1 (no host file has such devices)" in warnings
    assert "cpu_dedicated_set" in warnings


def test_pci_aliases_that_host_files_have_are_devices(repository: Path, folder: Path) -> None:
    """The alias is the kind of the device; how near it must be the affinity policy says."""
    shutil.copy(repository / "data/hosts/four-socket.lstopo.xml", folder / "hosts/compute1.xml")
    specs = {"pci_passthrough:alias": "nic:2", "hw:pci_numa_affinity_policy": "preferred"}
    devices = flavored(folder, specs).vms[0].spec.devices
    assert [(device.kind, device.count, device.policy) for device in devices] == [("nic", 2, "preferred")]


def test_server_groups_become_rules(folder: Path) -> None:
    """Hard policies are rules with how many may share a host; soft ones are wishes, and listed."""
    groups = [
        {"ID": "g1", "Name": "spread", "Policy": "anti-affinity", "Rules": {"max_server_per_host": 2},
         "Members": [UUID.format(1)]},
        {"ID": "g2", "Name": "together", "Policies": "affinity", "Members": f"{UUID.format(2)}, {UUID.format(9)}"},
        {"ID": "g3", "Name": "rather", "Policies": ["soft-affinity"], "Members": [UUID.format(3)]},
        {"ID": "g4", "Name": "empty", "Policies": ["affinity"], "Members": []},
    ]  # fmt: skip
    servers = [*SERVERS, {"ID": UUID.format(3), "Name": "third", "Status": "ACTIVE", "Flavor ID": "f-small"}]
    fleet = take(folder, servers=servers, server_groups=groups)
    assert [(rule.kind, rule.members, rule.max_per, rule.name) for rule in fleet.rules] == [
        (RuleKind.ANTI_AFFINITY, {"server_group": "g1"}, 2, "spread"),
        (RuleKind.AFFINITY, {"server_group": "g2"}, 1, "together"),
    ]
    assert any("server group rather" in said for said in fleet.warnings)


def test_aggregates_services_and_zones_become_labels_rules_and_drains(folder: Path) -> None:
    """Aggregate properties are labels, allocation ratios the overcommit; a disabled service is a drained host."""
    aggregates = [
        {"ID": 1, "Name": "fast", "Availability Zone": "az1", "Hosts": ["compute1"],
         "Properties": {"ssd": "true", "cpu_allocation_ratio": "4.0", "ram_allocation_ratio": "1.5"}},
        {"ID": 2, "Name": "unknown", "Availability Zone": None, "Properties": {}},
    ]  # fmt: skip
    services = [
        {"ID": "s", "Binary": "nova-compute", "Host": "compute1", "Zone": "az1", "Status": "disabled", "State": "up"},
        {"ID": "t", "Binary": "nova-scheduler", "Host": "ctl", "Zone": "internal", "Status": "enabled", "State": "up"},
    ]
    flavors = [{**FLAVORS[0], "Properties": {"aggregate_instance_extra_specs:ssd": "true"}}, FLAVORS[1]]
    fleet = take(folder, flavors=flavors, aggregates=aggregates, services=services)
    host = fleet.hosts[0]
    assert host.labels == {"aggregate:fast": "true", "zone": "az1", "ssd": "true"}
    assert (host.cpu_ratio, host.memory_ratio) == (4, 1.5)
    assert [(rule.kind, rule.members, rule.hosts) for rule in fleet.rules] == [
        (RuleKind.WITHIN, {"flavor": "m1.small"}, {"ssd": "true"}),
        (RuleKind.DRAIN, None, {"name": "compute1.example.org"}),
    ]
    assert any("aggregate unknown names no hosts" in said for said in fleet.warnings)


def test_hypervisors_without_a_host_file(folder: Path) -> None:
    """With vCPUs and memory told one node is assumed; without, the host and its servers are left out and listed."""
    hypervisors = [
        {**HYPERVISORS[0], "Hypervisor Hostname": "other1"},
        {"ID": 3, "Hypervisor Hostname": "other2", "State": "down"},
    ]
    servers = [{**SERVERS[0], "Host": "other1"}, {**SERVERS[1], "Host": "other2"}]
    fleet = take(folder, hypervisors=hypervisors, servers=servers)
    assert [(host.name, len(host.topology.nodes), len(host.topology.cpus)) for host in fleet.hosts] == [
        ("other1", 1, 128)
    ]
    assert [vm.name for vm in fleet.vms] == ["web"]
    warnings = "\n".join(fleet.warnings)
    assert "no host file for other1: one NUMA node is assumed" in warnings
    assert "no host file for other2, and the API does not tell its CPUs" in warnings
    assert "1 servers on host other2" in warnings
    assert "no hypervisor is called like the host files hosts/compute1.xml" in warnings


def test_servers_that_are_nowhere(folder: Path) -> None:
    """Deleted, shelved and failed servers are no VMs to place; one that is being built is."""
    servers = [
        {"ID": UUID.format(n), "Name": status, "Status": status, "Flavor ID": "f-small"}
        for n, status in enumerate(("DELETED", "SHELVED_OFFLOADED", "ERROR", "BUILD"))
    ]
    fleet = take(folder, servers=servers)
    assert [(vm.name, vm.current) for vm in fleet.vms] == [("BUILD", None)]
    assert any("2 servers without a host" in said for said in fleet.warnings)


def test_equal_server_names_get_their_uuid(folder: Path) -> None:
    """Nova does not mind equal names; an inventory does."""
    servers = [{**SERVERS[0], "ID": UUID.format(n)} for n in (1, 2)]
    assert [vm.name for vm in take(folder, servers=servers).vms] == [f"web/{UUID.format(1)}", f"web/{UUID.format(2)}"]


def test_more_shared_vcpus_than_cpus_set_the_overcommit(folder: Path) -> None:
    """The API does not tell the allocation ratio; what is there tells the least that it can be."""
    hypervisors = [{**HYPERVISORS[0], "Hypervisor Hostname": "small", "vCPUs": 2}]
    servers = [{**SERVERS[0], "ID": UUID.format(n), "Name": f"v{n}", "Host": "small"} for n in range(5)]
    fleet = take(folder, hypervisors=hypervisors, servers=servers)
    assert fleet.hosts[0].cpu_ratio == 3
    assert any("5 shared vCPUs on 2 CPUs: overcommit 3" in said for said in fleet.warnings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servers": [{**SERVERS[0], "Flavor ID": "gone", "Flavor Name": "gone"}]}, "flavor 'gone', which is not in"),
        ({"flavors": [{**FLAVORS[0], "VCPUs": None}]}, "flavor m1.small: VCPUs is None"),
        ({"flavors": [{**FLAVORS[0], "Properties": {"hw:mem_page_size": "big"}}]}, "no page size"),
        ({"flavors": [{**FLAVORS[0], "Properties": HALF_TOLD}]}, "name 1 of 2 cells"),
        ({"flavors": [{**FLAVORS[0], "Properties": {"hw:numa_nodes": "2"}}]}, "cannot be cut in 2 equal cells"),
        ({"flavors": "text"}, "no JSON list"),
        ({"flavors": [1]}, "no JSON list"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    """A flavor that is missing or contradicts itself is named; nothing is guessed."""
    with pytest.raises(InputError, match=words):
        take(folder, **{"servers": SERVERS[:1], "flavors": FLAVORS, **changes})


def test_update_keeps_a_persons_words_and_adds_the_clouds(folder: Path) -> None:
    """Labels of both, the person's reserve, weight and overcommit, and each group's rule once; gone servers go."""
    group = {"ID": "g1", "Name": "spread", "Policy": "anti-affinity", "Members": [UUID.format(1)]}
    documents = {"flavors": FLAVORS, "servers": SERVERS, "hypervisors": HYPERVISORS, "server_groups": [group]}
    paths = {}
    for name, document in documents.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(document))
    text = import_openstack(OpenstackFiles(**paths), topology=folder / "hosts", folder=folder).text()
    text = text.replace(
        "    topology: hosts/compute1.xml\n", "    topology: hosts/compute1.xml\n    labels: {rack: r1}\n"
    )
    text = text.replace("    labels: {flavor: m1.small,", "    weight: 3\n    labels: {team: a, flavor: m1.small,")
    (folder / "fleet.yaml").write_text(
        text.replace("    labels: {rack", '    reserve: {cpus: "0,64"}\n    labels: {rack')
    )
    paths["servers"].write_text(json.dumps(SERVERS[:1]))
    again = import_openstack(OpenstackFiles(**paths), topology=folder / "hosts", folder=folder)
    merged = update(folder / "fleet.yaml", again).fleet
    assert (merged.hosts[0].labels, merged.hosts[0].reserve.cpus) == ({"rack": "r1"}, {0, 64})
    (web,) = merged.vms
    assert (web.spec.weight, web.spec.labels) == (3, {"team": "a", "flavor": "m1.small", "server_group": "g1"})
    assert [rule.name for rule in merged.rules] == ["spread"]
    assert any("VM db is no longer on host" in said for said in merged.warnings)

"""Bad inventories: every fault has a file, a line, a field and a cure, and all of them come at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.errors import Fault, InputError
from placer.read.inventory.inventory import parse_fleet, read_fleet
from tests.effort import no_more_than

HEAD = """schema: placer.inventory/v1
hosts:
  - name: a
    count: 2
    nodes:
      - {id: 0, cpus: "0-3", memory: 8GiB, pages: {1GiB: 2}}
      - {id: 1, cpus: "4-7", memory: 8GiB}
    labels: {rack: r1}
"""
FIRST_LINE = HEAD.count("\n") + 2
"""The line of the first entry that `faults_of` appends under a section of its own."""


def faults_in(text: str | bytes) -> tuple[Fault, ...]:
    """Return the faults of an inventory that must have some."""
    with pytest.raises(InputError) as caught:
        parse_fleet(text.encode() if isinstance(text, str) else text, "fleet.yaml", ".")
    return caught.value.faults


def one_fault(text: str | bytes) -> Fault:
    """Return the only fault of an inventory."""
    faults = faults_in(text)
    assert len(faults) == 1, faults
    return faults[0]


def host_fault(keys: str) -> Fault:
    """Return the only fault of a host of one node, CPUs 0 to 3, with these keys on the line FIRST_LINE."""
    text = (
        'schema: placer.inventory/v1\nhosts:\n  - {name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}],\n     '
        + keys
        + "}\n"
    )
    fault = one_fault(text)
    assert fault.line == 4
    return fault


def vm_fault(keys: str) -> Fault:
    """Return the only fault of a VM of 4 vCPUs and 4 GiB with these keys."""
    plain = {"name: v": "name:", "vcpus: 4": "vcpus:", "memory: 4GiB": "memory:"}
    first = ", ".join(said for said, key in plain.items() if not keys.startswith(key))
    fault = one_fault(f"{HEAD}vms:\n  - {{{first}, {keys}}}\n")
    assert fault.line == FIRST_LINE
    return fault


@pytest.mark.parametrize(
    ("keys", "field", "words", "cure"),
    [
        ("kvm: no", "kvm", "neither true nor false", "true or false"),
        ("cost: -1", "cost", "below 0", None),
        ("overcommit: 0", "overcommit", "not above 0", None),
        ("overcommit: [1]", "overcommit", "neither a number nor", None),
        ("labels: {rack: [1]}", "labels.rack", "a list is not text", None),
        ("lables: {rack: r1}", "lables", "unknown key", "labels"),
        ("state: gone", "state", "'gone' is not", None),
        ("uuid: 12", "uuid", "not a UUID", None),
        ('reserve: {cpus: "9"}', "reserve.cpus", "no CPU 9", "0-3"),
        ('reserve: {cpus: "1", nodes: {0: {cpus: "1-2"}}}', "reserve.nodes.0.cpus", "overlapping reserves", None),
        ("reserve: {memory: 6GiB, nodes: {0: {memory: 4GiB}}}", "reserve.memory", "10GiB in all", None),
        ("reserve: {nodes: {1: {memory: 1GiB}}}", "reserve.nodes.1", "no node 1", None),
        ("reserve: {nodes: {0: {pages: {1GiB: 1}}}}", "reserve.nodes.0.pages", "has 0", None),
        ("reserve: {memory: 4}", "reserve.memory", "no number with a unit", "4GiB"),
        ('dedicated_cpus: "0-7"', "dedicated_cpus", "no CPU 4-7", None),
        ('dedicated_cpus: "0-1", shared_cpus: "1-2"', "shared_cpus", "in dedicated_cpus too", None),
        ('dedicated_cpus: "0-1", reserve: {cpus: "0"}', "dedicated_cpus", "reserved", None),
        ('isolated_cpus: "3-1"', "isolated_cpus", "runs backwards", None),
        ('isolated_cpus: "aaa"', "isolated_cpus", "not a CPU list", None),
        ("threads_per_core: 3", "threads_per_core", "no multiple of 3", "siblings"),
        ("threads_per_core: 0", "threads_per_core", "not from 1", None),
        ('threads_per_core: 2, siblings: ["0,1", "2,3"]', "threads_per_core", "siblings too", None),
        ('siblings: ["0,1", "1,2"]', "siblings[1]", "two of the siblings", None),
        ('l3: ["0-3,5"]', "l3[0]", "in no node", None),
        ('packages: ["0-1"]', "packages", "in no package", None),
        ("distances: [[10, 20], [20, 10]]", "distances", "1 x 1", None),
        ("distances: [[11]]", "distances[0][0]", "to itself is 10", None),
        ("distances_from: none.txt", "distances_from", "not there", None),
        ("topology: none.xml", "topology", "nodes of its own too", None),
        ("devices: [{address: x, kind: nic, node: 4}]", "devices[0].node", "no node 4", None),
        ("devices: [{address: x, kind: nic}, {address: x, kind: nic}]", "devices[1].address", "twice", None),
        ("resources: {disk: 1.5}", "resources.disk", "not a whole number", "smaller parts"),
        ("resources: {disk: -1}", "resources.disk", "not from 0", None),
        ("count: 2, uuid: 0f0e0d0c-0b0a-0908-0706-050403020100", "uuid", "belongs to one host", None),
    ],
)
def test_a_host_says_what_is_wrong(keys: str, field: str, words: str, cure: str | None) -> None:
    """One bad key of a host is one fault at its line, under its name, with a cure where there is one."""
    fault = host_fault(keys)
    assert fault.field == f"hosts[h].{field}"
    assert words in fault.message
    assert cure is None or (fault.cure is not None and cure in fault.cure)


@pytest.mark.parametrize(
    ("nodes", "field", "words"),
    [
        ('{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "3-5", memory: 8GiB}', "nodes[1].cpus", "node 0 too"),
        ('{id: 0, cpus: "0-3", memory: 8GiB}, {id: 0, cpus: "4", memory: 8GiB}', "nodes[1].id", "twice"),
        ('{id: 0, cpus: "0-3", memory: 8}', "nodes[0].memory", "no number with a unit"),
        ('{id: 0, cpus: "0-3", memory: 8 gigs}', "nodes[0].memory", "unknown unit"),
        ('{id: 0, cpus: "0-3", memory: 8GiB, pages: {1GiB: 9}}', "nodes[0].pages", "the node has 8GiB"),
        ('{id: 0, cpus: "0-3", memory: 8GiB, pages: {1GiB: 1, 1024MiB: 2}}', "nodes[0].pages", "one page size"),
        ('{id: 0, cpus: "0-3", memory: 8GiB, pages: {3KiB: 1}}', "nodes[0].pages.3KiB", "not a page size"),
        ('{id: 0, cpus: "0-3", memory: 8GiB, kind: memory-only}', "nodes[0].kind", "has CPUs"),
        ("{id: 0, memory: 8GiB}", "nodes", "no node has a CPU"),
        ('{cpus: "0-3", memory: 8GiB}', "nodes[0].id", "is missing"),
        ('{id: -1, cpus: "0-3"}', "nodes[0].id", "below 0"),
        ("text", "nodes[0]", "not a mapping"),
    ],
)
def test_a_node_says_what_is_wrong(nodes: str, field: str, words: str) -> None:
    """One bad node is one fault that names the node's place in the list."""
    fault = one_fault(f"schema: placer.inventory/v1\nhosts:\n  - name: h\n    nodes: [{nodes}]\n")
    assert (fault.field, fault.line) == (f"hosts[h].{field}", 4)
    assert words in fault.message


def test_threads_per_core_may_not_join_nodes() -> None:
    """Where n and n + half lie in different nodes the siblings have to be listed."""
    fault = one_fault(
        "schema: placer.inventory/v1\nhosts:\n  - name: h\n    threads_per_core: 2\n"
        '    nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}]\n'
    )
    assert fault.line == 4 and fault.cure is not None and "list siblings" in fault.cure


@pytest.mark.parametrize(
    ("keys", "field", "words", "cure"),
    [
        ("vcpu: 4", "vcpu", "unknown key", "vcpus"),
        ("vcpus: 010", "vcpus", "not a whole number", "write 10"),
        ("vcpus: 12:30", "vcpus", "not a whole number", None),
        ("vcpus: 1e3", "vcpus", "not a whole number", None),
        ("vcpus: 0", "vcpus", "not from 1", None),
        ("vcpus: 99999999999999999999", "vcpus", "not a whole number", None),
        ("memory: 64", "memory", "no number with a unit", "64GiB"),
        ("memory: 0GiB", "memory", "has memory", None),
        ("memory: [4GiB]", "memory", "a list is not a size", None),
        ("cells: 3", "cells", "3 equal cells", "list the cells"),
        ("cells: many", "cells", "neither auto", None),
        ("cells: []", "cells", "empty", "none"),
        ("cells: [{vcpus: 3, memory: 4GiB}]", "cells", "hold 3 vCPUs, the VM has 4", "add up"),
        ("cells: [{vcpus: 4, memory: 3GiB}]", "cells", "hold 3GiB, the VM has 4GiB", "add up"),
        ('cells: [{cpus: "0-1", memory: 2GiB}, {cpus: "1-2", memory: 2GiB}]', "cells", "two cells", None),
        ('cells: [{cpus: "0-1", vcpus: 4, memory: 4GiB}]', "cells[0].cpus", "vcpus says 4", None),
        ("cells: [{memory: 4GiB}]", "cells[0].vcpus", "is missing", None),
        ("locality: 1.5", "locality", "share from 0 to 1", None),
        ("cpu_policy: mixed", "cpu_policy", "needs dedicated_vcpus", None),
        ('dedicated_vcpus: "0"', "dedicated_vcpus", "goes with cpu_policy: mixed", None),
        ('cpu_policy: mixed, dedicated_vcpus: "0-4"', "dedicated_vcpus", "not a part", None),
        ("cpu_policy: share", "cpu_policy", "'share' is not", "shared"),
        ("cpu_policy: shared, thread_policy: isolate", "thread_policy", "needs dedicated", None),
        ("vcpus_current: 5", "vcpus_current", "above the maximum", None),
        ("interleave: 2", "interleave", "flat guests", "cells: none"),
        ("cells: none, interleave: 5", "interleave", "cannot lie on 5", None),
        ("cells: [{vcpus: 4, memory: 4GiB}], page_size: 8GiB", "page_size", "no whole number of pages", None),
        ("page_size: 3MiB", "page_size", "not a page size", None),
        ("iothreads: [1, 1]", "iothreads", "twice", None),
        ("weight: heavy", "weight", "not a number", None),
        ("devices: [{kind: nic, policy: near}]", "devices[0].policy", "'near' is not", None),
        ("movable: yes", "movable", "'yes' is not", None),
        ("host: b", "host", "no host 'b'", None),
        ("host: a-9", "host", "no host 'a-9'", "did you mean 'a-"),
        ("nodes: [0]", "nodes", "no host", "add host"),
        ("host: a-1, cells: 1, nodes: [7]", "nodes", "no node 7", None),
        ("host: a-1, cells: 2, nodes: [0]", "nodes", "1 node for a VM of 2 cells", None),
        ("host: a-1, cells: none, nodes: [0, 1]", "nodes", "2 nodes for a VM of 1 cell", "interleave"),
        ('host: a-1, pins: {0: "9"}', "pins.0", "pinned to CPUs 9", "0-7"),
        ('host: a-1, pins: {4: "1"}', "pins.4", "no vCPU 4", None),
        ('host: a-1, pins: {0: ""}', "pins.0", "holds no CPU", None),
        ("host: a-1, pins: fixed", "pins", "no pins are known", None),
        ('host: a-1, emulator: "55"', "emulator", "no CPU 55", None),
        ("pins: loose", "pins", "neither fixed", None),
        ("domain: none.xml", "domain", "not there", None),
        ("count: 2, uuid: 0f0e0d0c-0b0a-0908-0706-050403020100", "uuid", "belongs to one VM", None),
        ("labels: {app: }", "labels.app", "nothing is not text", None),
        ("usage: {cpu: 0.5}", "usage.cpu", "unknown key", "cpu_p95"),
    ],
)
def test_a_vm_says_what_is_wrong(keys: str, field: str, words: str, cure: str | None) -> None:
    """One bad key of a VM is one fault at its line, under its name, with a cure where there is one."""
    fault = vm_fault(keys)
    assert fault.field == f"vms[v].{field}"
    assert words in fault.message
    assert cure is None or (fault.cure is not None and cure in fault.cure)


@pytest.mark.parametrize(
    ("rule", "field", "words", "cure"),
    [
        ("anti_affinity: {app: db}", "anti_affinity", "no VM has app: db", None),
        ("anti_affinity: {tier: w}", "anti_affinity", "no VM has tier: w", "web"),
        ("anti_affinity: {teir: web}", "anti_affinity", "no VM has teir", "tier"),
        ("affinity: v", "affinity", "no VM has name: v", "v-1"),
        ("affinity: {tier: web, name: w}", "affinity", "no VM has", None),
        ("affinity: {}", "affinity", "selects no VM", None),
        ("anti_affinity: {tier: web}, scope: rak", "scope", "no host has a label 'rak'", "rack"),
        ("anti_affinity: {tier: web}, max_per: 0", "max_per", "below 1", None),
        ("affinity: {tier: web}, max_per: 2", "max_per", "does not go with affinity", None),
        ("affinity: {tier: web}, unless: {rack: r1}", "unless", "does not go with affinity", None),
        ("anti_affinity: {tier: web}, unless: {rack: r1}", "unless", "does not go with scope host", None),
        ("anti_affinity: {tier: web}, scope: rack, unless: {rack: r2}", "unless", "no host has rack: r2", "r1"),
        ("within: {tier: web}", "hosts", "is missing", None),
        ("within: {tier: web}, hosts: {rack: r2}", "hosts", "no host has rack: r2", "r1"),
        ("drain: a", "drain", "no host has name: a", "a-1"),
        ("reserve: {fail: 0}", "reserve.fail", "below 1", None),
        ("reserve: {fail: 1, scope: node}", "reserve.scope", "no host has a label 'node'", None),
        ("within: {tier: web}, host: {rack: r1}", "host", "unknown key", "hosts"),
    ],
)
def test_a_rule_says_what_is_wrong(rule: str, field: str, words: str, cure: str | None) -> None:
    """A rule that binds nothing, or holds what its kind does not take, is one fault."""
    vms = "vms:\n  - {name: v, count: 2, vcpus: 1, memory: 1GiB, labels: {tier: web}}\n"
    fault = one_fault(f"{HEAD}{vms}rules:\n  - {{{rule}}}\n")
    assert (fault.field, fault.line) == (f"rules[0].{field}", FIRST_LINE + 2)
    assert words in fault.message
    assert cure is None or (fault.cure is not None and cure in fault.cure)


@pytest.mark.parametrize("rule", ["{}", "{drain: a-1, affinity: {tier: web}}", "text"])
def test_a_rule_is_of_one_kind(rule: str) -> None:
    """None of the kinds, two at once, or no mapping at all is refused."""
    vms = "vms:\n  - {name: v, vcpus: 1, memory: 1GiB, labels: {tier: web}}\n"
    assert one_fault(f"{HEAD}{vms}rules:\n  - {rule}\n").line == FIRST_LINE + 2


def test_duplicate_names_tell_both_lines() -> None:
    """A name taken by a count is taken: the second line is the fault, the first is told."""
    faults = faults_in(
        f'{HEAD}  - {{name: a-2, nodes: [{{id: 0, cpus: "0", memory: 1GiB}}]}}\n'
        "vms:\n  - {name: v-1, vcpus: 1, memory: 1GiB}\n  - {name: v, count: 2, vcpus: 1, memory: 1GiB}\n"
    )
    assert [(fault.line, "twice, first on line" in fault.message) for fault in faults] == [(9, True), (12, True)]


def test_duplicate_keys_are_faults_beside_others() -> None:
    """A key that stands twice is named with both lines, and what else is wrong is told in the same run."""
    faults = faults_in(f"{HEAD}vms:\n  - name: v\n    vcpus: 4\n    vcpus: 5\n    memory: 4\n")
    assert [(fault.line, fault.field) for fault in faults] == [(12, None), (13, "vms[v].memory")]
    assert "'vcpus' is here twice, first on line 11" in faults[0].message


def test_a_section_on_one_line_has_that_line() -> None:
    """Entries of a list that stands on one line are named by it."""
    text = "schema: placer.inventory/v1\nhosts: [{name: a, nodes: [{id: 0, cpus: 0-3, memory: lots}]}]\n"
    assert one_fault(text + "vms: [{name: v, vcpus: 1, memory: 1GiB}]\n").line == 2
    good = text.replace("lots", "4GiB")
    assert one_fault(good + "vms: [{name: w, vcpus: 1, memory: 1GiB}, {name: v, vcpus: x, memory: 1GiB}]\n").line == 3


def test_one_uuid_is_one_vm() -> None:
    """Two VMs of one UUID are a fault, in whatever spelling."""
    one, two = "0f0e0d0c-0b0a-0908-0706-050403020100", "0F0E0D0C0B0A09080706050403020100"
    fault = one_fault(
        f"{HEAD}vms:\n  - {{name: v, vcpus: 1, memory: 1GiB, uuid: {one}}}\n"
        f"  - {{name: w, vcpus: 1, memory: 1GiB, uuid: {two}}}\n"
    )
    assert fault.line == FIRST_LINE + 1 and "VM UUID" in fault.message


def test_a_resource_is_sized_everywhere_or_nowhere() -> None:
    """10TiB on a host and a bare 100 in a VM leave open what one of it is."""
    text = HEAD.replace("labels: {rack: r1}", "resources: {disk: 10TiB}")
    fault = one_fault(f"{text}vms:\n  - {{name: v, vcpus: 1, memory: 1GiB, resources: {{disk: 100}}}}\n")
    assert fault.field == "vms[v].resources.disk" and "a size in hosts[a]" in fault.message


def test_what_follows_from_a_fault_is_not_told_again() -> None:
    """A VM on a host with faults, and a rule on a VM with faults, have none of their own."""
    faults = faults_in(
        "schema: placer.inventory/v1\nhosts:\n  - name: h\n    nodes: [{id: 0, cpus: x, memory: 1GiB}]\n"
        "vms:\n  - {name: v, vcpus: x, memory: 1GiB, host: h, nodes: [3], labels: {app: db}}\n"
        "rules:\n  - {anti_affinity: {app: db}}\n  - {drain: h}\n"
    )
    assert [fault.field for fault in faults] == ["hosts[h].nodes[0].cpus", "vms[v].vcpus"]


def test_faults_of_several_kinds_come_together_in_order() -> None:
    """Unknown keys, bad sizes, unknown hosts and empty rules of one file are told in one run, by line."""
    faults = faults_in(
        f"{HEAD.replace('8GiB, pages', '8, pages')}vms:\n  - {{name: v, vcpu: 1, memory: 4}}\n"
        "  - {name: w, vcpus: 1, memory: 1GiB, host: zz}\nrules:\n  - {drain: yy}\nextra: 1\n"
    )
    assert [fault.field for fault in faults] == [
        "hosts[a].nodes[0].memory",
        "vms[v].memory",
        "vms[v].vcpu",
        "vms[w].host",
        "rules[0].drain",
        "extra",
    ]
    assert all(fault.file == "fleet.yaml" for fault in faults)
    assert [fault.line for fault in faults] == [6, 10, 10, 11, 13, 14]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xff\xfe\x00", "control character"),
        (b"\xff\xfe", "not UTF-8"),
        (b"schema: placer.inventory/v1\nhosts:\n\x07", "control character 0x07"),
        (b"<!DOCTYPE x><domain/>", "XML"),
        (b"just words", "not an inventory"),
        (b"- a\n- b\n", "not an inventory"),
        (
            b"schema: placer.plan/v1\nhosts: [{name: a, nodes: [{id: 0, cpus: '0', memory: 1GiB}]}]",
            "is a plan; an inventory belongs",
        ),
        (b"schema: placer.inventory/v9\nhosts: [{name: a, nodes: [{id: 0, cpus: '0', memory: 1GiB}]}]", "not a schema"),
        (b"hosts: [{name: a, nodes: [{id: 0, cpus: '0', memory: 1GiB}]}]", "is missing"),
        (b"schema: placer.inventory/v1\n", "no hosts"),
        (b"schema: placer.inventory/v1\nhosts: {a: b}\n", "not a list"),
        (b"schema: placer.inventory/v1\nhosts: [", "not YAML"),
        (b'{"schema": "placer.inventory/v1", "hosts": [}', "not YAML"),
    ],
)
def test_what_is_no_inventory_is_refused_in_one_line(text: bytes, words: str) -> None:
    """Empty, binary, XML, truncated or other documents get one plain sentence."""
    assert words in one_fault(text).message


def test_anchors_aliases_tags_and_bombs_are_refused() -> None:
    """The billion laughs never laugh: nothing is expanded, and each trick is named by its line."""
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    faults = faults_in(f"schema: placer.inventory/v1\nl0: &l0 [lol]\n{levels}\nhosts: !!python/object:os.system []\n")
    messages = [fault.message for fault in faults]
    assert any("anchor &l8" in message for message in messages)
    assert any("alias *l0" in message for message in messages)
    assert any("tag tag:yaml.org,2002:python/object" in message for message in messages)


@pytest.mark.parametrize(
    "garbage",
    [
        bytes(range(256)) * 200_000,
        b"\0" * 50_000_000,
        b"garbage " * 6_000_000,
        b"schema: placer.inventory/v1\n" + b"x" * 50_000_000,
        b"schema: placer.inventory/v1\nhosts: " + b"[" * 50_000_000,
        b"schema: placer.inventory/v1\nhosts:\n" + b"[[[[[[[[[[[[[[[[[[[[[[[[[[\n" * 1_900_000,
        b"schema: placer.inventory/v1\n" + b"bG9yZW0gaXBzdW0gZG9sb3I=\n" * 2_000_000,
        b'{"schema": "placer.inventory/v1", "hosts": ' + b"[" * 50_000_000,
    ],
    ids=["bytes", "zeros", "words", "one line", "brackets", "bracket lines", "base64", "json brackets"],
)
def test_fifty_megabytes_of_garbage_are_refused_fast(garbage: bytes) -> None:
    """Garbage costs about a second of work, not minutes."""
    with no_more_than(2000):
        faults = faults_in(garbage)
    assert len(faults) == 1 and len(str(faults[0])) < 400


@pytest.mark.parametrize("section", ["hosts", "vms"])
def test_counts_that_would_fill_the_memory_are_refused(section: str) -> None:
    """A million of each is the most an inventory may stand for, however the counts are spread."""
    text = HEAD + ("vms:\n" if section == "vms" else "")
    text += "".join(f"  - {{name: x{n}, count: 600000, vcpus: 1, memory: 1GiB}}\n" for n in range(2))
    assert "more than 1000000" in one_fault(text).message


@pytest.mark.parametrize("keys", ["vcpus: 99999999", "cells: none, interleave: 99999999", "iothreads: 99999999"])
def test_numbers_of_threads_that_would_fill_the_memory_are_refused(keys: str) -> None:
    """No VM has more vCPUs or IOThreads than CPUs have numbers."""
    assert "65536" in vm_fault(keys).message


def test_a_thousand_faults_are_enough() -> None:
    """A file of nothing but faults is read until there are a thousand of them."""
    faults = faults_in(HEAD + "vms:\n" + "".join(f"  - {{name: v{n}, vcpus: x, memory: 1GiB}}\n" for n in range(3000)))
    assert len(faults) == 1001 and "the rest is not read" in faults[-1].message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """What cannot be opened is one fault with the path."""
    with pytest.raises(InputError, match="does not exist"):
        read_fleet(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a directory"):
        read_fleet(tmp_path)


def test_faults_of_a_domain_xml_name_its_own_file(tmp_path: Path) -> None:
    """A DOCTYPE in a domain XML is told with that file's name, beside the faults of the inventory."""
    (tmp_path / "v.xml").write_text('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n<domain>&e;</domain>')
    with pytest.raises(InputError) as caught:
        parse_fleet(
            f"{HEAD}vms:\n  - {{domain: v.xml}}\n  - {{name: w, vcpus: 1, memory: 1}}\n".encode(),
            "fleet.yaml",
            tmp_path,
        )
    inventory, domain = caught.value.faults
    assert inventory.field == "vms[w].memory"
    assert domain.file == str(tmp_path / "v.xml") and "DOCTYPE" in domain.message


def test_pins_of_a_domain_xml_that_its_host_lacks_are_a_fault(repository: Path, tmp_path: Path) -> None:
    """A cpuset that names CPUs the host lacks is refused, also where it stands in the XML of a placed VM."""
    (tmp_path / "v.xml").write_bytes(
        (repository / "data/domains/floating.xml").read_bytes().replace(b"1-4,^3,6", b"1-4,66")
    )
    with pytest.raises(InputError, match="pinned to CPUs 66, which the host lacks"):
        parse_fleet(f"{HEAD}vms:\n  - {{domain: v.xml, host: a-1}}\n".encode(), "fleet.yaml", tmp_path)


def test_a_damaged_host_file_is_told_with_the_host(tmp_path: Path) -> None:
    """What is wrong with a host file is told at the line that names it, with that file's name."""
    (tmp_path / "h.xml").write_text("<capabilities><host>")
    with pytest.raises(InputError) as caught:
        parse_fleet(b"schema: placer.inventory/v1\nhosts:\n  - name: h\n    topology: h.xml\n", "fleet.yaml", tmp_path)
    assert all(fault.line == 4 and "h.xml" in fault.message for fault in caught.value.faults)


def test_another_file_of_placers_own_is_named() -> None:
    """A plan or scenario in the fleet's place is one fault that says what it is, not one for every key it has."""
    plan = '{\n "goals": [],\n "schema": "placer.plan/v1",\n "vms": [{"name": "a"}]\n}'
    for text in (plan, "schema: placer.scenario/v1"):
        fault = one_fault(text)
        assert fault.field == "schema" and "an inventory belongs here" in fault.message
        assert "FLEET PLAN" in (fault.cure or "")

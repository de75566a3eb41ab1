"""Comments of an edited inventory in the inventory that takes its place."""

from __future__ import annotations

import pytest

from placer.read.text.yaml_comments import carry_comments

OLD = """# by hand
schema: placer.inventory/v1
# all of them
hosts:
  # the big one
  - name: a    # rack "7"
    # for ssh
    reserve: {cpus: "0"}   # ask #ops
    nodes:
      - id: 0   # near
        cpus: "0-3"
        memory: 4GiB
vms:
  - {name: 'it # is', vcpus: 1, memory: 1GiB}  # flow
  - name: web
    count: 2      # pair
    vcpus: 1 # one
# law
rules:
  - affinity: web  # together
    scope: host
# end
"""
NEW = """# Imported from libvirt. Labels, rules and reserves are yours to add.
# - a warning
schema: placer.inventory/v1
hosts:
  - name: b
    nodes:
      - {id: 0, cpus: "4-7", memory: 4GiB}
  - name: a
    nodes:
      - {id: 0, cpus: "0-3", memory: 4GiB}
    reserve: {cpus: "0"}
vms:
  - name: "it # is"
    vcpus: 1
    memory: 1GiB
  - name: web-1
    vcpus: 1
    memory: 1GiB
rules:
  - {affinity: web}
"""
MERGED = """# Imported from libvirt. Labels, rules and reserves are yours to add.
# - a warning
# by hand
schema: placer.inventory/v1
# all of them
hosts:
  - name: b
    nodes:
      - {id: 0, cpus: "4-7", memory: 4GiB}
  # the big one
  - name: a  # rack "7"
    nodes:
      - {id: 0, cpus: "0-3", memory: 4GiB}  # near
    # for ssh
    reserve: {cpus: "0"}  # ask #ops
vms:
  - name: "it # is"  # flow
    vcpus: 1
    memory: 1GiB
  # pair
  # one
  - name: web-1
    vcpus: 1
    memory: 1GiB
# law
rules:
  - {affinity: web}  # together
# end
"""


def test_comments_go_where_their_thing_is() -> None:
    """By name, key and rule, above or behind; entries that were one of a count get them above."""
    rule_line = OLD.splitlines().index("  - affinity: web  # together") + 1
    assert carry_comments(OLD, NEW, [rule_line]) == (MERGED, [])


def test_twice_is_once() -> None:
    """What was merged and is merged again stays as it is, and the importer's own lines are not doubled."""
    rule_line = MERGED.splitlines().index("  - {affinity: web}  # together") + 1
    assert carry_comments(MERGED, NEW, [rule_line]) == (MERGED, [])


def test_comments_of_what_is_gone_are_told() -> None:
    """A comment on an entry that is left out is named with its line and its words."""
    text, lost = carry_comments("vms:\n  - name: x  # " + "long " * 30 + "\n", "vms:\n  - name: y\n")
    assert text == "vms:\n  - name: y\n"
    (said,) = lost
    assert "(line 2)" in said and "# long long" in said and len(said) < 150


@pytest.mark.parametrize(
    "old",
    [
        "hosts:\n  - name: a\n",
        '{"hosts": [{"name": "# a"}]}',
        "hosts:\n  - name: a#b\n",
        'hosts:\n  - name: "\\" # b"\n',
    ],
    ids=["none", "json", "within a word", "within quotes"],
)
def test_what_is_no_comment(old: str) -> None:
    """A hash in a word, in quotes or in JSON begins no comment."""
    assert carry_comments(old, NEW) == (NEW, [])

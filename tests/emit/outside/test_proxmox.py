"""Commands for Proxmox VE: their options are those of its API, and numaN is of the format that the API gives."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from placer.emit.export import export_plan
from placer.emit.platforms.create import create_lines
from tests.emit.drained import grown, planned
from tests.emit.stand_ins import QM, SSH, run, words_of

pytestmark = pytest.mark.platforms
CALLS = {
    "set": ("PUT", "config"),
    "migrate": ("POST", "migrate"),
    "shutdown": ("POST", "status/shutdown"),
    "start": ("POST", "status/start"),
    "config": ("GET", "config"),
    "status": ("GET", "status/current"),
}
"""The call of the API below /nodes/{node}/qemu/{vmid} that each command of qm makes."""


@pytest.fixture
def model(tool: Callable[[str], Path]) -> str:
    """Return the types that were made from the API's own description."""
    return tool("platforms/node_modules/proxmox-api/esm/model.d.ts").read_text()


def options(model: str, verb: str, path: str) -> dict[str, str]:
    """Return the parameters of a call and their types."""
    start = model.index(f"* {verb} /nodes/\\{{node\\}}/qemu/\\{{vmid\\}}/{path}\n")
    body = model[start : model.index("Promise<", start)]
    return dict(re.findall(r"^\s+'?([a-z0-9_-]+)'?\??: (.+);$", body, re.M))


def commands(tmp_path: Path, script: str) -> list[list[str]]:
    """Return the commands of qm that a script runs, forth and back."""
    nodes = tmp_path / "pve/nodes"
    for node in ("n1", "n2", "n3"):
        (nodes / node / "qemu-server").mkdir(parents=True)
    for vmid in (101, 102, 103):
        (nodes / f"n1/qemu-server/{vmid}.conf").write_text("affinity: 6\nnuma: 1\nnuma0: cpus=0-1\n")
    (nodes / "n2/qemu-server/104.conf").write_text("cores: 2\n")
    tools = {"qm": QM, "ssh": SSH, "hostname": "echo n2\n"}
    for words in (("--apply",), ("--undo", "--apply")):
        code, _, said, _ = run(script, tmp_path, *words, tools=tools)
        assert code == 0, said
    return [words[1:] for words in words_of(tmp_path) if words[0] == "qm"]


def test_options_are_of_the_api(model: str, tmp_path: Path) -> None:
    """Each option is one of its call, and takes what it is given."""
    ran = [*commands(tmp_path / "a", str(export_plan(*planned("{}"), "proxmox", None)))]
    ran += commands(tmp_path / "b", str(export_plan(*grown("{}"), "proxmox", None)))
    assert {words[0] for words in ran} == set(CALLS)
    seen = set()
    form = json.loads(re.findall(r"@format (.*)\n +\*/\n +type Tnuma = string", model)[0])
    for words in ran:
        command, vmid, *rest = words
        assert vmid.isdigit()
        if command == "migrate":
            assert rest.pop(0) in ("n1", "n2", "n3")
        known = options(model, *CALLS[command])
        for option, value in zip(rest[::2], rest[1::2], strict=True):
            name = option.removeprefix("--")
            assert option == f"--{name}" and name in known, words
            seen.add(known[name])
            fits(known[name], value, form)
    assert {"pvecpuset", "Tnuma", "Thugepages", "boolean"} <= seen


def fits(kind: str, value: str, form: dict[str, dict[str, object]]) -> None:
    """Assert that a value is of a type of the API; numaN has a format of its own."""
    if kind == "boolean":
        assert value in ("0", "1")
    elif kind == "pvecpuset":
        assert re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", value), value
    elif kind == "Thugepages":
        assert value in ("2", "1024", "any")
    elif kind == "Tnuma":
        for pair in value.split(","):
            key, _, text = pair.partition("=")
            rule = form[key]
            pattern = str(rule.get("pattern", r"\d+")).replace("(?^:", "(?:")
            assert text in rule["enum"] if isinstance(rule.get("enum"), list) else re.fullmatch(pattern, text), value
        assert {key for key, rule in form.items() if not rule.get("optional")} <= {
            pair.partition("=")[0] for pair in value.split(",")
        }


def test_rules_of_high_availability(tool: Callable[[str], Path]) -> None:
    """The rules that are proposed have the fields of a rule of the cluster, as the Terraform provider types them."""
    fields = tool("platforms/provider/package/harule.d.ts").read_text()
    text = str(export_plan(*grown("{}"), "proxmox", None))
    proposed = re.findall(r"ha-manager rules add (\S+) (\S+) (.*)$", text, re.M)
    assert [one[0] for one in proposed] == ["resource-affinity", "node-affinity"]
    for kind, _, rest in proposed:
        words = rest.split()
        assert f"`{kind}`" in fields or kind in fields
        assert all(f"readonly {name.removeprefix('--')}:" in fields for name in words[::2]), words
        given = dict(zip(words[::2], words[1::2], strict=True))
        assert given.get("--affinity", "negative") in ("positive", "negative")
        assert all(re.fullmatch(r"vm:\d+", one) for one in given["--resources"].split(","))


def test_new_vms(model: str) -> None:
    """The options of `fit --to proxmox` are those of the call that makes a VM."""
    start = model.index("* POST /nodes/\\{node\\}/qemu\n")
    body = model[start : model.index("Promise<", start)]
    known = dict(re.findall(r"^\s+'?([a-z0-9_-]+)'?\??: (.+);$", body, re.M))
    form = json.loads(re.findall(r"@format (.*)\n +\*/\n +type Tnuma = string", model)[0])
    plan, fleet = grown("{}")
    lines = create_lines([(vm, fleet.vm_by_name[vm.name]) for vm in plan.vms], "proxmox")
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[:2] in ([], ["qm", "create"])
        rest = words[words.index("--name") :] if words else []
        for option, value in zip(rest[::2], rest[1::2], strict=True):
            fits(known[option.removeprefix("--")], value, form)

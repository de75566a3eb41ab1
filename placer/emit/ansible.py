"""A plan as an Ansible project: an inventory, a playbook, and the script that pins each host's domains."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from placer.emit.export import Exporter
from placer.emit.script import by_host, script_files
from placer.emit.virsh import virsh_script
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan

INVENTORY, PLAYBOOK = "inventory.yml", "pin.yml"
_SCRIPTS = "scripts"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")

_PLAY = f"""\
# Pin the domains of a placer plan where they are: ansible-playbook -i {INVENTORY} {PLAYBOOK}
# Migrate first what changes host (placer moves, or placer export --to markdown); what has not arrived is a failure.
- name: Pin the domains of a placer plan
  hosts: placer
  gather_facts: false
  tasks:
    - name: Pin the domains of this host with virsh
      ansible.builtin.script:
        cmd: "{{{{ placer_script | quote }}}}"
      become: true
"""


def ansible_files(plan: Plan, fleet: Fleet) -> dict[str, bytes]:
    """Return inventory, playbook and scripts by path.

    The scripts speak to the libvirt of the machine they run on. A host whose name Ansible would read as a pattern goes
    by a number; its name is a comment in the script.
    """
    here = dataclasses.replace(fleet, hosts=tuple(dataclasses.replace(host, uri=None) for host in fleet.hosts))
    scripts = script_files(plan, lambda part: virsh_script(part, here))
    files = {f"{_SCRIPTS}/{name}": data for name, data in scripts.items()}
    pairs = zip(by_host(plan), scripts, strict=True)
    lines = "\n".join(_inventory([(fleet.host_by_name[name], script) for name, script in pairs]))
    return {INVENTORY: f"{lines}\n".encode(), PLAYBOOK: _PLAY.encode(), **files}


def _inventory(hosts: list[tuple[Host, str]]) -> Iterator[str]:
    yield "placer:"
    yield "  hosts:" if hosts else "  hosts: {}"
    for number, (host, script) in enumerate(hosts, start=1):
        name = host.name if _PLAIN_NAME.fullmatch(host.name) else f"placer-host-{number}"
        yield f"    {_text(name)}:"
        # Marked unsafe, so that no brace in a name is ever a template.
        yield f"      placer_script: !unsafe {_text(f'{_SCRIPTS}/{script}')}"
        yield from (f"      {key}: {value}" for key, value in _connection(host))


def _connection(host: Host) -> Iterator[tuple[str, str]]:
    """Yield how Ansible reaches a host, as far as its libvirt address over SSH tells."""
    try:
        address = urlsplit(host.uri or "")
        port = address.port
    except ValueError:
        return
    if not address.scheme.endswith("+ssh") or not _PLAIN_NAME.fullmatch(address.hostname or ""):
        return
    yield "ansible_host", _text(address.hostname or "")
    if port is not None:
        yield "ansible_port", str(port)
    if address.username is not None and _USER.fullmatch(address.username):
        yield "ansible_user", _text(address.username)


def _text(value: str) -> str:
    """Return a YAML scalar; JSON's quoting is YAML's too."""
    return json.dumps(value)


def ansible_document(plan: Plan, fleet: Fleet) -> bytes:
    """Refuse: an inventory, a playbook and scripts are no single file."""
    raise InputError("an Ansible project is no single file", field="-o", cure="give -o FOLDER")


EXPORTER = Exporter(files=ansible_files, document=ansible_document, folder=True)

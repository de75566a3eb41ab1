"""Stand-ins for the commands of platforms, which answer from files, and how a script is run with them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

QM = """\
here=$PLACER_PVE/nodes
case "$1" in
  config) cat "$here"/*/qemu-server/"$2.conf" ;;
  status) if [ -e "$LOG.off$2" ]; then echo 'status: stopped'; else echo 'status: running'; fi ;;
  shutdown) echo "$*" >>"$LOG"; touch "$LOG.off$2" ;;
  start) echo "$*" >>"$LOG"; rm "$LOG.off$2" ;;
  set) echo "set $*" >>"$LOG" ;;
  migrate) echo "$*" >>"$LOG"; mv "$here"/*/qemu-server/"$2.conf" "$here/$3/qemu-server/" ;;
  *) echo "$*" >>"$LOG" ;;
esac
"""

SSH = 'while [ $# -gt 1 ]; do shift; done\neval "$1"\n'

OPENSTACK = """\
echo "$*" >>"$LOG"
last=${@: -1}
case "$*" in
  "server show"*) cat "$STATE/$last" 2>/dev/null || echo n1.cloud ;;
  "compute service list"*) printf '%s\\n' n1 n2 n3 ;;
  *"server migrate"*) for word; do case $word in --host=*) mkdir -p "$STATE"; echo "${word#*=}" >"$STATE/$last" ;; esac
    done ;;
esac
"""

KUBECTL = """\
echo "$*" >>"$LOG"
case "$*" in
  *"get virtualmachineinstance "*) echo n1 ;;
  *create*) cat >>"$LOG" ;;
esac
"""

CURL = """\
path=${@: -1}
path=${path#http://engine/api/}
body= verb=GET
while [ $# -gt 0 ]; do
  case $1 in --data) body=$2; jq -e . <<<"$2" >/dev/null || exit 3 ;; --request) verb=$2 ;; esac
  shift
done
mkdir -p "$STATE"
id=${path#vms/} id=${id%%[/?]*}
[ "$verb" = GET ] || echo "$verb $path $body" >>"$LOG"
case "$verb $path" in
  *"/migrate") jq -r .host.name <<<"$body" >"$STATE/$id" ;;
  *"/shutdown") touch "$STATE/$id.down" ;;
  *"/start") jq -r '.vm.placement_policy.hosts.host[0].name' <<<"$body" >"$STATE/$id"; rm "$STATE/$id.down" ;;
  "GET vms/"*/numanodes) echo '{"vm_numa_node": [{"index": "0", "id": "a"}, {"index": "1", "id": "b"}]}' ;;
  "GET vms/"*)
    host=$(cat "$STATE/$id" 2>/dev/null || echo n1) status=up
    [ ! -e "$STATE/$id.down" ] || status=down
    jq -n --arg host "$host" --arg status $status '{status: $status, host: {name: $host},
      cpu: {cpu_tune: {vcpu_pins: {vcpu_pin: [{vcpu: "0", cpu_set: "9"}]}}}}' ;;
esac
"""

ONEVM = """\
mkdir -p "$STATE"
case $1 in
  show) jq -n --arg host "$(cat "$STATE/$3" 2>/dev/null || echo n1)" '{VM: {STATE: "3", LCM_STATE: "3",
    HISTORY_RECORDS: {HISTORY: [{SEQ: "0", HOSTNAME: "elsewhere"}, {SEQ: "10", HOSTNAME: $host}]}}}' ;;
  migrate) echo "$*" >>"$LOG"; echo "$4" >"$STATE/$3" ;;
esac
"""

INCUS = """\
[ "$1" != --project ] || shift 2
mkdir -p "$STATE"
case "$1 $2" in
  query*) name=${2##*/} name=${name%%\\?*}
    jq -n --arg host "$(cat "$STATE/$name" 2>/dev/null || echo n1)" \
      --arg status "$(cat "$STATE/$name.is" 2>/dev/null || echo Running)" '{location: $host, status: $status}' ;;
  "stop "*) echo "$*" >>"$LOG"; echo Stopped >"$STATE/$2.is" ;;
  "start "*) echo "$*" >>"$LOG"; rm "$STATE/$2.is" ;;
  "config get") echo "old-$4" ;;
  "move "*) echo "$*" >>"$LOG"; echo "$4" >"$STATE/$2" ;;
  *) echo "$*" >>"$LOG" ;;
esac
"""
_NOTE = """printf '%q ' "${0##*/}" "$@" >>"$WORDS"; echo >>"$WORDS"\n"""


def run(script: str, folder: Path, *words: str, tools: Mapping[str, str] | None = None) -> tuple[int, str, str, str]:
    """Run a script with stand-ins; return exit code, output, messages and what the stand-ins noted."""
    folder.mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "log").touch()
    for name, body in (tools or {}).items():
        path = folder / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\n{_NOTE}{body}")
        path.chmod(0o755)
    (folder / "plan.sh").write_text(script)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "LOG": str(folder / "log")}
    environment |= {"STATE": str(folder / "state"), "PLACER_PVE": str(folder / "pve")}
    environment |= {"WORDS": str(folder / "words")}
    done = subprocess.run(
        ["bash", str(folder / "plan.sh"), *words], env=environment, cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr, (folder / "log").read_text()


def words_of(folder: Path) -> list[list[str]]:
    """Return the commands that scripts run in this folder gave to stand-ins, word by word."""
    return [shlex.split(line) for line in (folder / "words").read_text().splitlines()]

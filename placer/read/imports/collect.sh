#!/bin/sh
# Gathers one KVM host for "placer import libvirt": what the kernel and libvirt tell of its CPUs, NUMA nodes, memory,
# devices and virtual machines. It reads only: nothing on the host or in libvirt is changed, no passwords are read
# (read-only connection), and nothing is written but a temporary folder, removed at the end, and the tar.
#
#   sh collect.sh              writes ./placer-<host>.tar
#   sh collect.sh - > a.tar    writes the tar to standard output
#   ssh host sh -s -- - < collect.sh > host.tar
#
# Run it as a user who may read libvirt's system connection (root, or one in the group libvirt).
set -u
LC_ALL=C
export LC_ALL
umask 077

host=$(uname -n) || host=unknown
case $host in '' | . | .. | */* | -*) host=unknown ;; esac
out=${1:-placer-$host.tar}
start=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/placer-collect.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
top=$work/placer-$host
mkdir "$top" || exit 1
cd "$top" || exit 1

say() { printf 'collect: %s\n' "$*" >&2; }

# Files of /sys and /proc are read and written anew: tar and cp would trust their sizes, which are wrong.
# copy FILE... takes any text; line FILE... takes the first line, without starting a process for each of thousands. CPU
# lists have to be copied: newer kernels answer the small reads of the shell with nothing.
copy() {
    for file in "$@"; do
        if [ -f "$file" ] && [ -r "$file" ]; then
            [ -d ".${file%/*}" ] || mkdir -p ".${file%/*}"
            cat "$file" > ".$file" 2> /dev/null || rm -f ".$file"
        fi
    done
}
line() {
    for file in "$@"; do
        if [ -f "$file" ] && [ -r "$file" ]; then
            [ -d ".${file%/*}" ] || mkdir -p ".${file%/*}"
            text=
            IFS= read -r text < "$file" 2> /dev/null || [ -n "$text" ] || continue
            printf '%s\n' "$text" > ".$file"
        fi
    done
}

# A domain's pages by node: its cgroup's own figures, for walking the page tables of a large guest stalls it; huge pages
# are not in them.
pages() {
    group=$(sed -n 's/^[0-9]*:memory://p' "/proc/$1/cgroup" 2> /dev/null) root=/sys/fs/cgroup/memory
    [ -n "$group" ] || { group=$(sed -n 's/^0:://p' "/proc/$1/cgroup" 2> /dev/null); root=/sys/fs/cgroup; }
    while case $group in *qemu*) ;; *) false ;; esac; do
        if [ -r "$root$group/memory.numa_stat" ]; then
            cat "$root$group/memory.numa_stat"
            break
        fi
        group=${group%/*}
    done
    if grep -q '^HugetlbPages:[[:space:]]*[1-9]' "/proc/$1/status" 2> /dev/null; then
        grep ' huge ' "/proc/$1/numa_maps" 2> /dev/null
    fi
}

printf 'placer.collect/v1\n' > format
printf '%s\n' "$host" > hostname
uname -srm > kernel

say "reading /sys and /proc"
copy /proc/cpuinfo /proc/meminfo /proc/swaps
line /proc/sys/kernel/numa_balancing /sys/kernel/mm/ksm/run /sys/kernel/mm/ksm/merge_across_nodes
line /sys/kernel/mm/transparent_hugepage/enabled
if command -v pidof > /dev/null 2>&1; then
    if pidof numad > /dev/null 2>&1; then echo yes > numad; else echo no > numad; fi
fi
sys=/sys/devices/system
copy "$sys"/cpu/online "$sys"/cpu/offline "$sys"/cpu/present "$sys"/cpu/possible
for cpu in "$sys"/cpu/cpu[0-9]*; do
    mkdir -p ".$cpu"
    line "$cpu"/online "$cpu"/topology/*_id
    copy "$cpu"/topology/*_cpus_list
    [ -e "$cpu"/topology/core_cpus_list ] || copy "$cpu"/topology/*_siblings_list
    for cache in "$cpu"/cache/index[0-9]*; do
        line "$cache"/id "$cache"/level "$cache"/type
        [ -e "$cache"/level ] && read -r level < "$cache"/level && [ "$level" = 3 ] && copy "$cache"/shared_cpu_list
    done
done
copy "$sys"/node/online "$sys"/node/has_cpu "$sys"/node/has_memory
for node in "$sys"/node/node[0-9]*; do
    copy "$node"/meminfo "$node"/cpulist
    line "$node"/distance "$node"/hugepages/hugepages-*/nr_hugepages "$node"/hugepages/hugepages-*/free_hugepages
    for access in "$node"/access[01]; do
        line "$access"/initiators/read_* "$access"/initiators/write_*
        for near in "$access"/initiators/node[0-9]*; do
            [ -e "$near" ] && mkdir -p ".$near"
        done
    done
done
line /sys/kernel/mm/hugepages/hugepages-*/nr_hugepages /sys/bus/dax/devices/*/target_node
[ -e /sys/devices/virtual/misc/kvm ] && mkdir -p ./sys/devices/virtual/misc/kvm
copy /sys/fs/cgroup/misc.capacity
copy /proc/driver/nvidia/gpus/*/numa_status
find /sys/devices/pci* -type d -name '[0-9a-f]*:[0-9a-f]*:[0-9a-f]*.[0-7]' 2> /dev/null | while IFS= read -r device; do
    [ -e "$device"/physfn ] || line "$device"/class "$device"/vendor "$device"/numa_node "$device"/sriov_totalvfs \
        "$device"/sriov_numvfs "$device"/sriov_offset "$device"/sriov_stride
done

if command -v virsh > /dev/null 2>&1; then
    uri=${PLACER_URI:-qemu:///system}
    v() { virsh -q -r -c "$uri" "$@" < /dev/null; }
    say "asking libvirt at $uri"
    v version > libvirt-version.txt 2>&1
    if v capabilities > capabilities.xml 2> capabilities.err; then
        rm -f capabilities.err
        mkdir domains nodedevs
        v list --all --uuid | while IFS= read -r id; do
            case $id in '' | *[!0-9a-fA-F-]*) continue ;; esac
            state=$(v domstate "$id") || continue
            printf '%s %s\n' "$id" "$state" >> domains/states
            case $state in
                'shut off' | crashed) ;;
                *) v dumpxml "$id" > "domains/$id.live.xml" || rm -f "domains/$id.live.xml" ;;
            esac
            case $state in
                running | paused)
                    pid=$(sed -n 1p "/run/libvirt/qemu/$(v domname "$id").pid" 2> /dev/null)
                    [ -z "$pid" ] || pages "$pid" > "domains/$id.pages"
                    ;;
            esac
            # A transient domain has no saved definition; dumpxml --inactive would make one up.
            if [ "$(v dominfo "$id" | sed -n 's/^Persistent: *//p')" = yes ]; then
                v dumpxml --inactive "$id" > "domains/$id.saved.xml" || rm -f "domains/$id.saved.xml"
            fi
        done
        number=0
        { v nodedev-list --cap pci; v nodedev-list --cap mdev 2> /dev/null; } | while IFS= read -r name; do
            [ -n "$name" ] || continue
            number=$((number + 1))
            v nodedev-dumpxml "$name" > "nodedevs/$number.xml" 2> /dev/null || rm -f "nodedevs/$number.xml"
        done
    else
        say "libvirt does not answer: $(cat capabilities.err)"
        rm -f capabilities.xml
    fi
else
    say "there is no virsh: only what the kernel tells is gathered"
fi

cd "$work" || exit 1
if [ "$out" = - ]; then
    tar cf - "placer-$host"
else
    tar cf bundle.tar "placer-$host" && cd "$start" && mv "$work/bundle.tar" "$out" && say "wrote $out"
fi

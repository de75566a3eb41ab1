#!/bin/bash
# Unpack a small Debian 12 with libvirt and QEMU; no maintainer script runs.  usage: build_root.sh ROOT PACKAGE,...
set -euo pipefail
root=$1 packages=$2

sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] && sources+=("$file")
done
rm -rf "$root"
mmdebstrap --quiet --mode=root --variant=extract --architectures=amd64 \
    --aptopt='Apt::Install-Recommends "false"' --include="$packages" bookworm "$root" "${sources[@]}"

# What the lab never uses is half of the size.
cd "$root"
rm -rf usr/share/{man,doc,locale,info,icons,perl,perl5,iso-codes,xml,zoneinfo,bash-completion,lintian,bug} \
    usr/lib/x86_64-linux-gnu/{perl,perl-base,gconv,gstreamer-1.0} usr/lib/udev usr/bin/qemu-system-i386 \
    usr/bin/qemu-storage-daemon usr/bin/perl* usr/lib/x86_64-linux-gnu/libperl* var/lib/dpkg var/cache/apt

#!/bin/sh
# Install what the lab (tests/lab) is built from and run with: as root on Debian; for anyone else there the command is
# printed. On other systems nothing is to be installed, and the lab's tests skip with the reason.
set -eu

packages="qemu-system-x86 qemu-utils mmdebstrap busybox-static cpio zstd e2fsprogs libvirt-clients openssh-client util-linux"

if ! command -v apt-get >/dev/null 2>&1; then
    echo "The lab is built from Debian packages: without apt-get its tests skip."
    exit 0
fi
missing=
for package in $packages; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
    esac
done
# Without package lists nothing can be downloaded, and no version is known that the cached lab could be compared with.
lists=$(apt-cache policy libvirt-daemon 2>/dev/null | sed -n 's/^ *Candidate: //p')
if [ -z "$missing" ] && [ -n "$lists" ] && [ "$lists" != "(none)" ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "The lab needs packages and is unpacked as root. Run this, then make lab as root:" >&2
    echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 7
fi
apt-get update -qq
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086  # the list is to be split
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi

#!/bin/busybox sh
# PID 1 of the lab: mount, network, ssh, libvirtd; "LAB READY" on the console when libvirt answers.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
[ -c /dev/null ] || $B mount -t devtmpfs dev /dev
$B mkdir -p /dev/pts /dev/shm /dev/hugepages
$B mount -t devpts pts /dev/pts
$B mount -t tmpfs shm /dev/shm
$B mount -t tmpfs -o mode=755 run /run
$B mkdir -p /run/libvirt /run/lock
$B mount -t tmpfs tmp /tmp
$B mount -t cgroup2 cg /sys/fs/cgroup
$B mount -t hugetlbfs -o pagesize=2M huge /dev/hugepages
$B hostname "$(cat /etc/hostname)"
$B ip link set lo up
for module in virtio_net virtio_balloon virtio_rng tun; do modprobe $module 2>/dev/null; done
$B ip addr add 10.0.2.15/24 dev eth0
$B ip link set eth0 up
$B ip route add default via 10.0.2.2
dropbear -R -B -p 22 -r /etc/dropbear/key 2>/run/dropbear.log
libvirtd -d -l
(
    while ! virsh -c qemu:///system uri >/dev/null 2>&1; do $B sleep 0.5; done
    virsh -c qemu:///system capabilities >/run/caps.xml
    echo "LAB READY $($B cut -d' ' -f1 /proc/uptime)" >/dev/console
) &
# A shell on the serial console, for ever; it also reaps orphans.
while :; do
    $B setsid $B cttyhack $B sh </dev/ttyS0 >/dev/ttyS0 2>&1
    $B sleep 1
done

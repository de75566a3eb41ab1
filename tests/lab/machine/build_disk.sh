#!/bin/bash
# Make the disk, the kernel and the initrd of the lab.  usage: build_disk.sh ROOT KERNEL INIT OUT
# ROOT: what build_root.sh made;  KERNEL: an unpacked linux-image package;  INIT: PID 1 of the machine
set -euo pipefail
root=$1 kernel=$2 init=$3 out=$4
version=$(ls "$kernel/lib/modules")
home=root # where the lab's superuser lives, below ROOT
modules=lib/modules/$version

mkdir -p "$out" "$root/$modules"
(
    cd "$kernel/$modules"
    for path in kernel/drivers/virtio kernel/drivers/block/virtio_blk.ko kernel/drivers/net/virtio_net.ko \
        kernel/drivers/net/net_failover.ko kernel/drivers/net/tun.ko kernel/net/core kernel/arch/x86/kvm kernel/virt \
        kernel/drivers/char/hw_random kernel/net/802 kernel/net/llc; do
        if [ -e "$path" ]; then cp -a --parents "$path" "$root/$modules/"; fi
    done
    cp modules.builtin modules.builtin.modinfo modules.order "$root/$modules/"
)
chroot "$root" /sbin/depmod "$version"

install -m 755 "$init" "$root/sbin/lab-init"
echo numalab > "$root/etc/hostname"
cat > "$root/etc/passwd" <<'END'
root::0:0:root:/root:/bin/bash
libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin
nobody:x:65534:65534::/:/bin/false
END
cat > "$root/etc/group" <<'END'
root:x:0:
kvm:x:104:
libvirt:x:105:
libvirt-qemu:x:64055:
nogroup:x:65534:
tty:x:5:
END
echo 'root::19000:0:99999:7:::' > "$root/etc/shadow"
echo '127.0.0.1 localhost numalab' > "$root/etc/hosts"
printf '/bin/sh\n/bin/bash\n' > "$root/etc/shells"
for name in passwd group shadow hosts services protocols; do echo "$name: files"; done > "$root/etc/nsswitch.conf"
mkdir -p "$root"/etc/dropbear "$root"/etc/libvirt/qemu "$root"/var/lib/libvirt/{qemu,images,boot} \
    "$root"/var/cache/libvirt/qemu "$root"/var/log/libvirt/qemu "$root/$home/.ssh"
rm -rf "$root/var/run"
ln -sfn /run "$root/var/run"
ln -sfn bash "$root/bin/sh"
for tool in $("$root/bin/busybox" --list); do
    for folder in bin usr/bin sbin usr/sbin; do [ -e "$root/$folder/$tool" ] && continue 2; done
    ln -s /bin/busybox "$root/usr/bin/$tool"
done
# No systemd, no authentication: only forwarded ports on the builder's loopback reach this machine.
cat > "$root/etc/libvirt/libvirtd.conf" <<'END'
listen_tls = 0
listen_tcp = 1
tcp_port = "16509"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_ro_perms = "0777"
host_uuid = "11111111-2222-3333-4444-555555555555"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
END
cat > "$root/etc/libvirt/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
hugetlbfs_mount = ["/dev/hugepages"]
END
/sbin/ldconfig -r "$root"

ssh-keygen -q -t ed25519 -N '' -f "$out/ssh_key"
cp "$out/ssh_key.pub" "$root/$home/.ssh/authorized_keys"
chmod 700 "$root/$home/.ssh" "$root/$home"
chmod 600 "$root/$home/.ssh/authorized_keys"
/sbin/mke2fs -q -t ext4 -O ^has_journal -L labroot -d "$root" "$out/root.ext4" 600M

stage=$(mktemp -d)
mkdir -p "$stage"/{bin,proc,dev,mnt,modules}
cp "$root/bin/busybox" "$stage/bin/"
number=0
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
    file=$(find "$root/$modules" -name "$module.ko")
    if [ -n "$file" ]; then
        number=$((number + 1))
        cp "$file" "$stage/modules/$number-$module.ko"
    fi
done
cat > "$stage/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc p /proc
/bin/busybox mount -t devtmpfs d /dev
for module in /modules/*.ko; do /bin/busybox insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do /bin/busybox usleep 50000; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o rw /dev/vda /mnt || exec /bin/busybox sh
/bin/busybox umount /proc
/bin/busybox mount --move /dev /mnt/dev
exec /bin/busybox switch_root /mnt /sbin/lab-init
END
chmod +x "$stage/init"
(cd "$stage" && find . | cpio --quiet -o -H newc | gzip -1) > "$out/initrd.gz"
rm -rf "$stage"
cp "$kernel/boot/vmlinuz-$version" "$out/vmlinuz"

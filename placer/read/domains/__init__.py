"""Files that tell of a guest: libvirt XML, QEMU command lines, virsh texts."""

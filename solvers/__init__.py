"""The optimiser: numbers in, counts and proofs out. It knows nothing of VMs, hosts by name, or libvirt."""

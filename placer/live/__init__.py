"""Live libvirt: what hosts and domains really are, plans applied with a journal, verified and rolled back."""

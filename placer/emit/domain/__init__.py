"""libvirt domain XML: patched, written, and held against the rules of start."""

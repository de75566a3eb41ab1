"""placer puts KVM virtual machines on hosts, NUMA nodes and CPUs, and proves how good the plan is."""

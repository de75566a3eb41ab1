"""What placer knows of hosts, VMs, rules and plans: frozen data without any input or output."""

"""Plans in the words of the platforms that run KVM hosts: one script each, in the order of `placer moves`."""

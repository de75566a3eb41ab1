"""Parts of random fleets: VMs, and rules over groups of them."""

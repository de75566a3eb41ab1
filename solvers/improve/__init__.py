"""Better answers from good ones, at any size: VMs moved, exchanged and placed anew, priced from arrays."""

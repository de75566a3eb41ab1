"""Rules over hosts as rows of the master: which there are, the problem that has them, and the bound that knows them."""

"""One host as counts in CP-SAT: what pricing, the exact engine and neighbourhoods build on."""

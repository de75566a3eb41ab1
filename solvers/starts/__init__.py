"""First answers: best fit, groups, rules, host by host, fill in. They prove nothing."""

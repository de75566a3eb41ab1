"""A reference beside the engines: the documented meaning as one plain model, and a race of random fleets against it.

`reading`, `places`, `model`, `rules`, `goals` and `reference` are written from the reference pages alone and import
nothing of placer or its solvers; `witness` and `race` bring both sides together.
"""

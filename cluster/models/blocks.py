"""Numbers of the blocks of episodes that a version plays, by which the ledger and the rows know them.

The looks that decide on a candidate are 0, 1, 2 and so on.
"""

FRESH = 1_000_000
"""First block of the episodes that a model plays once it is the best; they have seeds of their own."""
CURVE = 2_000_000
"""Block of the episodes that all versions of a run's last half play after the training, with the same seeds."""

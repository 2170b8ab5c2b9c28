"""`distill bench`: this system beside bare loops that do nothing but the arithmetic, in one run on one machine.

Every figure comes from a process of its own and is the median of several rounds in which the two sides take turns.
"""

"""Blocks of episodes that a version plays: which seeds they have, and how the ledger names them.

A block has a purpose and a number that counts from 0 within it. Folders of format 1 had one row of numbers instead, in
which each purpose began where `_FIRST` says; seeds still follow these, so a run's episodes are what they always were.
"""

from actors.evaluation import Purpose
from distill.games import SeedStream, reset_seed

_FIRST: dict[Purpose, int] = {"curve": 2_000_000, "fresh": 1_000_000, "look": 0}
"""What a purpose's blocks begin at among a version's seeds, the largest first."""


def block_seed(seed: int, purpose: Purpose, block: int) -> int:
    """Return the seed of a block of episodes of a run with that seed."""
    return reset_seed(seed, SeedStream.PROMOTION, _FIRST[purpose] + block)


def block_of(number: int) -> tuple[Purpose, int]:
    """Return purpose and number of the block that a folder of format 1 calls `number`."""
    return next((purpose, number - first) for purpose, first in _FIRST.items() if number >= first)


def scores_key(version: int, game: str, purpose: Purpose, block: int) -> str:
    """Return the name under which a ledger keeps the scores of a block."""
    return f"{version}/{game}/{purpose}/{block}"


def parse_scores_key(key: str) -> tuple[int, str, Purpose, int]:
    """Return version, game, purpose and block of a `scores_key`, or of one of format 1; raises ValueError otherwise."""
    version, game, *words = key.split("/")
    if len(words) == 1:
        return int(version), game, *block_of(int(words[0]))
    word, block = words
    for purpose in _FIRST:
        if word == purpose:
            return int(version), game, purpose, int(block)
    raise ValueError(f"purpose: expected one of {', '.join(_FIRST)}, found {word!r}")

"""Blocks of episodes: their names in the ledger, those of format 1 among them, and seeds that stay what they were."""

import pytest

from actors.evaluation import Purpose
from cluster.models.blocks import block_of, block_seed, parse_scores_key, scores_key
from cluster.state.rows import evaluation_rows
from distill.games import SeedStream, reset_seed

NUMBERS: list[tuple[int, Purpose, int]] = [
    (0, "look", 0), (7, "look", 7), (1_000_000, "fresh", 0), (1_000_003, "fresh", 3), (2_000_000, "curve", 0),
]  # fmt: skip
"""What format 1 called a block, and what it is called today."""


@pytest.mark.parametrize(("number", "purpose", "block"), NUMBERS)
def test_what_format_1_called_a_block_has_the_same_seed_and_scores_today(number: int, purpose: Purpose, block: int):
    assert block_of(number) == (purpose, block)
    assert block_seed(5, purpose, block) == reset_seed(5, SeedStream.PROMOTION, number)
    assert parse_scores_key(f"12/pong/{number}") == (12, "pong", purpose, block)
    assert parse_scores_key(scores_key(12, "pong", purpose, block)) == (12, "pong", purpose, block)
    old = {"line": "pong", "version": 2, "game": "pong", "block": number, "fresh": number > 10, "scores": [1.0]}
    today = {"lineage": "pong", "version": 2, "game": "pong", "purpose": purpose, "block": block, "scores": [1.0]}
    assert evaluation_rows([old]) == evaluation_rows([today]) == [today]


@pytest.mark.parametrize("key", ["", "1/pong", "1/pong/gaze/0", "1/pong/look/x", "x/pong/0", "1/pong/look/0/0"])
def test_a_damaged_name_is_no_block(key: str):
    with pytest.raises(ValueError, match=r"look|unpack|invalid literal"):
        parse_scores_key(key)

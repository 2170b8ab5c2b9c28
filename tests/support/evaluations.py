"""Lines of `evaluations.jsonl` of a run with Q-learners."""

from actors.evaluation import Purpose


def row(lineage: str, version: int, block: int, seconds: float, *scores: float, purpose: Purpose = "look") -> dict:
    return {
        "lineage": lineage, "version": version, "game": "pong", "purpose": purpose, "block": block,
        "updates": 10 * version, "seconds": seconds, "transitions": {"pong": 1000 * version}, "scores": list(scores),
    }  # fmt: skip

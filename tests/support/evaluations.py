"""Lines of `evaluations.jsonl` of a run with Q-learners."""


def row(lineage: str, version: int, block: int, seconds: float, *scores: float) -> dict:
    return {
        "lineage": lineage, "version": version, "game": "pong", "block": block, "fresh": block >= 1_000_000,
        "updates": 10 * version, "seconds": seconds, "transitions": {"pong": 1000 * version}, "scores": list(scores),
    }  # fmt: skip

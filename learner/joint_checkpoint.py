"""The one checkpoint of several ranks: all begin from what the first has read, and it writes how far all have come.

Weights and optimizer are the same in all. Each has a random generator of its own for minibatches, and has counted its
own chunks.
"""

import json
from dataclasses import asdict
from typing import Any

import torch

from learner.checkpoint_file import decode_checkpoint, encode_checkpoint
from learner.feed import FeedState
from learner.ranks import Ranks
from learner.shares import joined, share_of
from learner.status import TrainerState, feed_state_from_json
from learner.updater_tensors import SAMPLER, AnyUpdater, updater_tensors

Checkpoint = tuple[dict[str, torch.Tensor], Any]
"""Tensors and state, as a `CheckpointStore` gives them."""


def begin_alike(ranks: Ranks, updater: AnyUpdater, read: Checkpoint | None) -> Checkpoint:
    """Return what this rank begins from: the first one's network and optimizer, and its share of all that was counted.

    Args:
        ranks: all of them.
        updater: of this one, freshly made.
        read: what the first rank goes on from, None for nothing.
    """
    own = updater_tensors(updater)
    tensors, state = read or (own, asdict(TrainerState()))
    told, metadata = decode_checkpoint(ranks.told(encode_checkpoint(tensors, {"state": json.dumps(state)})))
    common = TrainerState.from_json(json.loads(metadata["state"]))
    # A rank that the checkpoint does not know begins with a generator of its own seed.
    generators = {SAMPLER: told.get(_generator(ranks.rank), own[SAMPLER])}
    return told | generators, asdict(common) | {"feed": asdict(share_of(common.feed, ranks.rank, ranks.size))}


def bring_together(ranks: Ranks, updater: AnyUpdater, feed: FeedState) -> tuple[dict[str, torch.Tensor], FeedState]:
    """Return the generators of the other ranks, as tensors of a checkpoint, and what all ranks have counted.

    Args:
        ranks: all of them.
        updater: of this one.
        feed: what this one has counted.
    """
    own = encode_checkpoint({SAMPLER: updater.sampler.get_state()}, {"feed": json.dumps(asdict(feed))})
    said = [decode_checkpoint(data) for data in ranks.gather(own)]
    generators = {_generator(rank): tensors[SAMPLER] for rank, (tensors, _) in enumerate(said) if rank > 0}
    return generators, joined([feed_state_from_json(json.loads(metadata["feed"])) for _, metadata in said])


def _generator(rank: int) -> str:
    return f"{SAMPLER}.{rank}" if rank else SAMPLER

"""Settings that the machine decides on where the user has not."""

from cluster.ray.cluster import RayCluster
from cluster.state.folder import RunFolder
from cluster.state.kinds import AnyConfig, kind_of, with_learner, with_players
from cluster.workers.placement import on_card, players_per_game


def resolved(folder: RunFolder, config: AnyConfig, cluster: RayCluster) -> AnyConfig:
    """Return a run's configuration with its number of players, and its student's batch size and rate.

    The run's folder then shows them as well. A run of one process has one player per game: what it learns must not
    depend on the machine's cores.

    Raises:
        RunError: if the disk refuses.
    """
    general, kind = config.general, kind_of(config)
    chosen = with_learner(config, on_card=on_card(config.training, cluster))
    if kind.players is not None and kind.players.config.actors is None:
        most = players_per_game(len(general.games), kind.learners, config.training, cluster)
        # A game's streams need a player each.
        chosen = with_players(chosen, max(config.buffer.shards, 1 if general.serial else most))
    if chosen != config:
        folder.write_config(chosen, folder.run_id(), folder.name, list(general.games), folder.path.parent)
    return chosen

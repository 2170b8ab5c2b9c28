"""Settings that the machine decides on where the user has not."""

from cluster.ray.cluster import RayCluster
from cluster.state.folder import RunFolder
from cluster.state.kinds import AnyConfig, kind_of, with_players
from cluster.workers.placement import players_per_game


def resolved(folder: RunFolder, config: AnyConfig, cluster: RayCluster) -> AnyConfig:
    """Return a run's configuration with its number of players, which the run's folder then shows as well.

    A run of one process has one player per game: what it learns must not depend on the machine.

    Raises:
        RunError: if the disk refuses.
    """
    general, kind = config.general, kind_of(config)
    if kind.players is None or kind.players.config.actors is not None:
        return config
    most = players_per_game(len(general.games), kind.learners, config.training, cluster)
    # A game's streams need a player each.
    config = with_players(config, max(config.buffer.shards, 1 if general.serial else most))
    folder.write_config(config, folder.run_id(), folder.name, list(general.games), folder.path.parent)
    return config

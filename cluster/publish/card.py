"""The model card: metadata for a hub, and a text for people."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from cluster.analysis.table import result_table
from cluster.publish.names import MODEL, ONNX, PAGE, environment_id, film_of
from cluster.publish.source import Source
from distill.architectures import Architecture, Graph
from distill.games import action_meanings
from distill.scores import GameScore, Interval

LIBRARY = "policy-distillery"
_PAPER = "1511.06295"


def model_card(name: str, source: Source, *, licence: str | None, files: Sequence[str]) -> str:
    """Return the card as Markdown with metadata in front.

    Args:
        name: of the model.
        source: the model.
        licence: its licence's identifier, as hubs know them.
        files: names of the files that lie beside the card.
    """
    metadata = yaml.safe_dump(_metadata(name, source, licence), sort_keys=False, allow_unicode=True)
    parts = [f"# {name}", _introduction(source), _scores(source), _use(source, files), _actions(source)]
    if source.settings:
        parts.append(_training(source))
    return f"---\n{metadata}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _metadata(name: str, source: Source, licence: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"library_name": LIBRARY, "pipeline_tag": "reinforcement-learning"}
    if licence is not None:
        metadata["license"] = licence
    games = [environment_id(game) for game in source.card.actions]
    metadata["tags"] = ["reinforcement-learning", "deep-reinforcement-learning", "atari", "onnx", *games]
    if source.card.kind == "student":
        metadata["tags"] += ["policy-distillation", f"arxiv:{_PAPER}"]
    # A list of results that is empty is refused.
    if results := [_result(source, score) for score in source.scores.values()]:
        metadata["model-index"] = [{"name": name, "results": results}]
    return metadata


def _result(source: Source, score: GameScore) -> dict[str, Any]:
    environment = environment_id(score.game)
    metrics: list[dict[str, Any]] = [
        {
            "type": "mean_reward",
            "name": f"mean reward of {score.episodes} episodes, and their standard deviation",
            "value": f"{score.mean:.2f} +/- {score.standard_deviation:.2f}",
            "verified": False,
        }
    ]

    def add(kind: str, name: str, value: Any) -> None:
        metrics.append({"type": kind, "name": name, "value": value, "verified": False})

    if score.interval is not None:
        add("mean_reward_interval", "95 % interval of the mean reward", _interval(score.interval, 2))
    if score.human_normalised is not None:
        add("human_normalised_score", "human-normalised score", round(score.human_normalised, 4))
    for comparison in source.comparisons:
        ratio = comparison.ratio
        if comparison.game == score.game and ratio.value is not None:
            add("teacher_ratio", f"ratio to the teacher, {_SCALES[ratio.scale]}", round(ratio.value, 4))
            if ratio.interval is not None:
                add("teacher_ratio_interval", "95 % interval of this ratio", _interval(ratio.interval, 3))
    return {
        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
        "dataset": {"name": environment, "type": environment},
        "metrics": metrics,
    }


_SCALES = {"raw": "student / teacher", "above_random": "(student - random) / (teacher - random)"}


def _interval(interval: Interval, digits: int) -> str:
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def _layers(architecture: Architecture | Graph) -> str:
    if isinstance(architecture, Graph):
        return f"an ONNX graph of {architecture.parameters:,} parameters"
    own = architecture.controller_hidden
    controller = f", and a controller of {own} units" if own else ""
    channels = ", ".join(map(str, architecture.channels))
    return f"three convolutions of {channels} channels and a layer of {architecture.hidden} units{controller}"


def _introduction(source: Source) -> str:
    card, games = source.card, ", ".join(source.card.actions)
    network = _layers(card.architecture)
    if card.kind == "student":
        return (
            f"A student that plays {games}, made from trained networks by policy distillation"
            f" ([Rusu et al. 2015](https://arxiv.org/abs/{_PAPER})) with Policy Distillery: {network}. Its outputs are"
            f" {_outputs(card.training.get('loss', source.settings.get('loss')))}."
        )
    return f"A network that plays {games}: {network}. Its outputs are {card.labels}."


def _outputs(loss: Any) -> str:
    return "q-values" if loss == "mse" else "logits of a policy, of which the largest is the best action"


def _scores(source: Source) -> str:
    if not source.scores:
        return "## Scores\n\nIt was not evaluated. `distill evaluate MODEL --write-card` does it."
    head = "| game | episodes | mean | 95 % interval | sd | IQM | human-normalised |\n| --- " + "| ---: " * 6 + "|"
    parts = [
        "## Scores",
        "\n".join([head, *map(_score_row, source.scores.values())]),
        _protocol(source.card.scores),
    ]
    if source.comparisons:
        parts += ["Against its teachers, which played as many episodes:", result_table(source.comparisons)[1].rstrip()]
    return "\n\n".join(parts)


def _score_row(score: GameScore) -> str:
    interval = "n/a" if score.interval is None else _interval(score.interval, 2)
    human = "n/a" if score.human_normalised is None else f"{score.human_normalised:.3f}"
    numbers = (f"{score.mean:.2f}", interval, f"{score.standard_deviation:.2f}", f"{score.iqm:.2f}", human)
    return f"| {' | '.join((score.game, str(score.episodes), *numbers))} |"


def _protocol(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return under which rules the scores were made, as far as the card's entries say it."""
    entry = next(iter(entries.values()))
    said = [
        f"{entry['epsilon']:.0%} random actions" if "epsilon" in entry else "",
        f"up to {entry['noop_max']} no-ops at the start" if "noop_max" in entry else "",
        f"at most {entry['max_frames']:,} emulator frames" if "max_frames" in entry else "",
    ]
    rules = ", ".join(rule for rule in said if rule)
    return (
        "Raw rewards of whole episodes, frame skip 4, no sticky actions, losing a life ends nothing"
        f"{f'; {rules}' if rules else ''}. Intervals are 95 % percentiles of a bootstrap over episodes: they hold the"
        " luck of playing, not that of training."
    )


def _use(source: Source, files: Sequence[str]) -> str:
    game = next(iter(source.card.actions))
    lines = [
        f"- `{MODEL}`: weights, with architecture, preprocessing and scores in its metadata",
        f"- `{ONNX}`: the same network; it takes frames `observations` [N, 4, 84, 84] uint8 and has an output"
        " `q_values_GAME` [N, A] a game",
    ]
    films = [film_of(game, source.card.actions) for game in source.card.actions]
    lines += [f"- `{film}`: an episode" for film in films if film in files]
    if PAGE in files:
        lines.append(
            f"- `{PAGE}`: open it in a browser, offline: the network runs there on the frames of a recorded episode,"
            " beside what was recorded. It is no emulator: what the network says does not change the game."
        )
    code = f'''```python
from distill import load_student
from distill.games import make_environment

player = load_student("{MODEL}")
environment = make_environment("{game}", lanes=1)
observations, _ = environment.reset(seed=1)  # [1, 4, 84, 84] uint8, oldest frame first
actions = player.act(observations, "{game}")  # indices into the actions below
```'''
    return "\n\n".join(["## Use", "\n".join(lines), code])


def _actions(source: Source) -> str:
    head = "| game | outputs, in their order |\n| --- | --- |"
    rows = [f"| {game} | {', '.join(action_meanings(game))} |" for game in source.card.actions]
    preprocessing = source.card.preprocessing
    return "\n\n".join([
        "## Actions and preprocessing",
        "\n".join([head, *rows]),
        "It plays only what it was trained on: "
        + "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in preprocessing.items())
        + ".",
    ])  # fmt: skip


def _training(source: Source) -> str:
    rows = [f"| `{name}` | {_cell(value)} |" for name, value in source.settings.items()]
    commit = source.environment.get("git_commit")
    made = f" by commit `{commit}` of Policy Distillery" if commit else ""
    return "\n\n".join(
        ["## Training", f"Trained{made} with these settings:", "\n".join(["| setting | value |\n| --- | --- |", *rows])]
    )


def _cell(value: Any) -> str:
    text = " ".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

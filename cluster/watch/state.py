"""Everything that the page says of a run beside its pictures, read from the run's folder."""

import re
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from cluster.analysis.curves import GameCurves
from cluster.models.ledger import read_promotions
from cluster.models.mirror import ModelMirror, mirrored_lines
from cluster.state.folder import EVALUATIONS, LOG, METRICS, open_any_run
from cluster.state.json_tail import JsonTail
from cluster.state.rows import looks, metrics_point
from cluster.watch.cast import teacher_scores, titles
from cluster.watch.history import History, Row
from cluster.watch.scores import mean_ratio, run_points, score_document
from distill.config import RunConfig, Settings
from distill.errors import DistillError
from distill.games import action_meanings
from distill.protocols import EXPLORERS_SUFFIX, STUDENT
from distill.teach_config import OnlineConfig, TeachConfig

LOOK_SECONDS = 1.0
"""Viewers that ask within that time share one answer."""
ALIVE_SECONDS = 60.0
"""A run that has written nothing for that long is called silent."""
MOST_EVALUATIONS = 5_000
MOST_PROMOTIONS = 6
LOG_LINES = 8
_LOG_BYTES = 16_384
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d+ (\w+) (?!\S*\.(?:display|terminal):)\S+: (.*)$")
"""Lines of the terminal's display, as it is called now and was in 0.1.0, are left out: the page shows the same."""


class StateReader:
    """Reads a run's folder again and again.

    Args:
        path: the run's folder; nothing is written there.

    Raises:
        DistillError: if there is no run, or its configuration is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.folder, self.config = open_any_run(path)
        self.games = tuple(self.config.general.games)
        self._metrics = JsonTail(self.folder.path / METRICS, metrics_point)
        self._evaluations = JsonTail(self.folder.path / EVALUATIONS, looks)
        self._history = History()
        self._rows: deque[Row] = deque(maxlen=MOST_EVALUATIONS)
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._document: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """Return the page's data, as JSON can hold it; no older than `LOOK_SECONDS`."""
        with self._lock:
            if time.monotonic() - self._read_at > LOOK_SECONDS:
                for row in self._metrics.read():
                    self._history.add(row)
                self._rows.extend(self._evaluations.read())
                self._document = self._build()
                self._read_at = time.monotonic()
            return self._document

    def _build(self) -> dict[str, Any]:
        problems: list[str] = []
        try:
            # A run that is resumed may have another budget.
            self.config = open_any_run(self.folder.path)[1]
        except DistillError as error:
            problems.append(str(error))
        games = self._games(problems)
        return {
            "now": time.time(),
            "run": self._run(),
            "settings": _settings(self.config),
            "titles": titles(self.config),
            "games": games,
            "ratio": mean_ratio(games),
            "learners": self._learners(),
            "waits": self._history.waits(),
            "actors": self._actors(),
            "restarts": (self._history.newest or {}).get("restarts", {}),
            "lines": self._lines(problems),
            "log": self._log(),
            "problems": problems,
        }

    def _run(self) -> dict[str, Any]:
        signs = [
            file.stat().st_mtime for name in (METRICS, EVALUATIONS, LOG) if (file := self.folder.path / name).exists()
        ]
        sign = max(signs, default=None)
        ended = [p.stat().st_mtime for p in (self.folder.evaluation, self.folder.student) if p.exists()]
        if ended and (sign is None or max(ended) >= sign - ALIVE_SECONDS):
            state = "finished"
        elif sign is not None and time.time() - sign < ALIVE_SECONDS:
            state = "running"
        else:
            state = "silent"
        return {
            "name": self.folder.name,
            "command": self.config.command,
            "state": state,
            "sign_of_life": sign,
            "fraction": self._fraction(),
        }

    def _fraction(self) -> float | None:
        """Return the share of the budget that is spent."""
        learners = self._history.learners()
        if not learners:
            return None
        main = next(iter(learners.values()))
        shares = [main["seconds"] / 60.0 / minutes] if (minutes := self.config.training.minutes) else []
        if isinstance(self.config, RunConfig):
            shares.append(main["updates"] / self.config.learner.updates)
        return min(1.0, max(shares)) if shares else None

    def _games(self, problems: list[str]) -> list[dict[str, Any]]:
        try:
            cards = teacher_scores(self.config)
        except DistillError as error:
            problems.append(str(error))
            cards = {}
        return [{"game": game, **self._game(game, cards.get(game), problems)} for game in self.games]

    def _game(self, game: str, card: float | None, problems: list[str]) -> dict[str, Any]:
        if isinstance(self.config, RunConfig):
            students = run_points(self._rows, game, *self._history.minutes_at(STUDENT))
            steps = [] if card is None else [(0.0, card)]
            scores = score_document(game, students, [], steps)
        else:
            line = game if isinstance(self.config, OnlineConfig) else "-".join(self.games)
            promotions = self._promotions(line, problems)
            curves = GameCurves.of(self._rows, promotions, self._history.thinned(), line, game)
            scores = score_document(game, curves.students, curves.candidates, curves.teacher)
        return {"actions": list(action_meanings(game)), "scores": scores, **self._filled(game)}

    def _filled(self, game: str) -> dict[str, Any]:
        """Return what a game's learner has of it; only `distill run` says how full the replay is."""
        newest = self._history.newest or {}
        inserted = [learner["inserted_transitions"].get(game, 0) for learner in self._history.learners().values()]
        return {
            "transitions": max(inserted, default=0),
            "replay": newest.get("replay_transitions", {}).get(game),
            "capacity": self.config.training.replay_capacity,
        }

    def _learners(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line, counts in self._history.learners().items():
            document = {
                key: counts.get(key)
                for key in (
                    "seconds", "updates", "updates_per_second", "loss", "nonfinite_updates", "sample_to_insert_ratio",
                    "rejected_chunks", "version", "lag",
                )
            }  # fmt: skip
            document |= {"line": line, "target": _pace(self.config, line), "curves": self._history.curves(line)}
            found.append(document)
        return found

    def _actors(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "game": reported.counts["game"],
                "time": reported.time,
                "transitions": reported.counts["transitions"],
                "per_second": self._history.actor_rate(name),
                "episodes": reported.counts["episodes"],
                "seconds": reported.counts["seconds"],
                "full": reported.counts["buffer_full"],
                "outages": reported.counts["buffer_outages"],
            }
            for name, reported in sorted(self._history.actors.items())
        ]

    def _lines(self, problems: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in mirrored_lines(self.folder.path):
            if line.endswith(EXPLORERS_SUFFIX):
                continue
            try:
                mirror = ModelMirror(self.folder.path, line)
                names, versions = mirror.names(), len(mirror.versions())
            except DistillError as error:
                problems.append(str(error))
                continue
            promotions = [
                {
                    "version": promotion.version,
                    "parent": promotion.parent,
                    "time": promotion.time,
                    "kind": promotion.kind,
                    "why": promotion.why,
                    "scores": {game: score["mean"] for game, score in promotion.scores.items()},
                }
                for promotion in self._promotions(line, problems)[-MOST_PROMOTIONS:]
            ]
            found.append({"line": line, "names": names, "versions": versions, "promotions": promotions[::-1]})
        return found

    def _promotions(self, line: str, problems: list[str]) -> list[Any]:
        if line not in mirrored_lines(self.folder.path):
            return []
        try:
            return read_promotions(self.folder.path, line)
        except DistillError as error:
            problems.append(str(error))
            return []

    def _log(self) -> list[dict[str, str]]:
        """Return the newest messages; what spans several lines, such as a traceback, stays in the file."""
        path = self.folder.path / LOG
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LOG_BYTES))
                text = file.read(_LOG_BYTES).decode(errors="replace")
        except OSError:
            # It is not there yet, or not for this user to read.
            return []
        matches = [match for line in text.splitlines() if (match := _LOG_LINE.match(line))]
        return [{"time": m[1], "level": m[2], "text": m[3]} for m in matches[-LOG_LINES:]][::-1]


def _pace(config: Settings, line: str) -> float | None:
    """Return the samples per transition that a learner aims at."""
    if line == STUDENT and isinstance(config, RunConfig | OnlineConfig):
        return config.learner.sample_to_insert
    return config.q_learner.q_sample_to_insert if isinstance(config, TeachConfig) else None


def _settings(config: Settings) -> dict[str, Any]:
    """Return what is worth a line of the page's head."""
    found: dict[str, Any] = {"minutes": config.training.minutes}
    if isinstance(config, RunConfig | OnlineConfig):
        found |= {"network": config.student.student, "loss": config.student.loss, "tau": config.student.tau}
    if isinstance(config, TeachConfig):
        found |= {"preset": config.general.preset}
    return found

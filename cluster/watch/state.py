"""Everything that the page says of a run beside its pictures, read from the run's folder."""

import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from cluster.analysis.curves import GameCurves, placed
from cluster.models.mirror import ModelMirror, mirrored_lineages
from cluster.models.promotions import read_promotions
from cluster.state.folder import EVALUATIONS, LOG, METRICS, open_any_run
from cluster.state.json_tail import JsonTail
from cluster.state.kinds import kind_of
from cluster.state.line_tail import LineTail
from cluster.state.log_lines import LogLine, parse_log_line
from cluster.state.rows import evaluation_rows, looks, metrics_point, upgraded_metrics
from cluster.watch.cast import teacher_scores, titles
from cluster.watch.history import History, Row
from cluster.watch.scores import mean_ratio, score_document
from distill.config import flatten
from distill.errors import DistillError
from distill.games import action_meanings
from distill.protocols import EXPLORERS_SUFFIX

LOOK_SECONDS = 1.0
"""Viewers that ask within that time share one answer."""
ALIVE_SECONDS = 60.0
"""A run that has written nothing for that long is called silent."""
MOST_EVALUATIONS = 5_000
MOST_PROMOTIONS = 6
LOG_LINES = 8


class StateReader:
    """Reads a run's folder again and again.

    Args:
        path: the run's folder; nothing is written there.

    Raises:
        DistillError: if there is no run, or its configuration is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.folder, self.config = open_any_run(path)
        self._kind = kind_of(self.config)
        self.games = tuple(self.config.general.games)
        self._metrics = JsonTail(self.folder.path / METRICS, metrics_point)
        self._evaluations = JsonTail(self.folder.path / EVALUATIONS, looks)
        self._log = LineTail(self.folder.path / LOG)
        self._history = History()
        self._rows: deque[Row] = deque(maxlen=MOST_EVALUATIONS)
        self._messages: deque[LogLine] = deque(maxlen=LOG_LINES)
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._document: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """Return the page's data, as JSON can hold it; no older than `LOOK_SECONDS`."""
        with self._lock:
            if time.monotonic() - self._read_at > LOOK_SECONDS:
                for row in self._metrics.read():
                    self._history.add(upgraded_metrics(row))
                self._rows.extend(evaluation_rows(self._evaluations.read()))
                for line in self._log.read():
                    said = parse_log_line(line.decode(errors="replace"))
                    # The page shows itself how far the run is.
                    if said is not None and not said.progress:
                        self._messages.append(said)
                self._document = self._build()
                self._read_at = time.monotonic()
            return self._document

    def _build(self) -> dict[str, Any]:
        problems: list[str] = []
        try:
            # A run that is resumed may have another budget.
            self.config = open_any_run(self.folder.path)[1]
            self._kind = kind_of(self.config)
        except DistillError as error:
            problems.append(str(error))
        games = self._games(problems)
        return {
            "now": time.time(),
            "run": self._run(),
            "settings": self._settings(),
            "titles": titles(self.config),
            "games": games,
            "ratio": mean_ratio(games),
            "learners": self._learners(),
            "waits": self._history.waits(),
            "actors": self._actors(),
            "restarts": (self._history.newest or {}).get("restarts", {}),
            "lineages": self._lineages(problems),
            "log": [{"time": m.time, "level": m.level, "text": m.message} for m in reversed(self._messages)],
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

    def _settings(self) -> dict[str, Any]:
        """Return what is worth a line of the page's head."""
        found: dict[str, Any] = {
            "minutes": self.config.training.minutes,
            "preset": flatten(self.config).get("preset"),
        }
        if (student := self._kind.student) is not None:
            found |= {"network": student.student, "loss": student.loss, "tau": student.tau}
        return found

    def _fraction(self) -> float | None:
        """Return the share of the budget that is spent."""
        learners = self._history.learners()
        if not learners:
            return None
        main = next(iter(learners.values()))
        shares = [main["seconds"] / 60.0 / minutes] if (minutes := self.config.training.minutes) else []
        if (updates := self._kind.updates) is not None:
            shares.append(main["updates"] / updates)
        return min(1.0, max(shares)) if shares else None

    def _games(self, problems: list[str]) -> list[dict[str, Any]]:
        try:
            cards = teacher_scores(self.config)
        except DistillError as error:
            problems.append(str(error))
            cards = {}
        return [{"game": game, **self._game(game, cards.get(game), problems)} for game in self.games]

    def _game(self, game: str, card: float | None, problems: list[str]) -> dict[str, Any]:
        lineage = self._kind.teacher_of(game)
        name = None if lineage is None else lineage.name
        promotions = [] if name is None else self._promotions(name, problems)
        metrics = self._history.thinned()
        curves = GameCurves.of(placed(self._rows, metrics), promotions, metrics, name, game)
        # A fixed teacher has been there from the beginning.
        steps = curves.teacher if lineage is not None else [] if card is None else [(0.0, card)]
        scores = score_document(game, curves.students, curves.candidates, steps)
        return {"actions": list(action_meanings(game)), "scores": scores, **self._filled(game)}

    def _filled(self, game: str) -> dict[str, Any]:
        """Return what the learners have of a game."""
        learners = self._history.learners().values()
        inserted = [learner["inserted_transitions"].get(game, 0) for learner in learners]
        held = [learner.get("replay_transitions", {}).get(game) for learner in learners]
        return {
            "transitions": max(inserted, default=0),
            "replay": next((count for count in held if count is not None), None),
            "capacity": self.config.training.replay_capacity,
        }

    def _learners(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for lineage, counts in self._history.learners().items():
            document = {
                key: counts.get(key)
                for key in (
                    "seconds", "updates", "updates_per_second", "loss", "nonfinite_updates", "sample_to_insert_ratio",
                    "rejected_chunks", "version", "lag",
                )
            }  # fmt: skip
            document |= {
                "lineage": lineage,
                "target": self._kind.paces.get(lineage),
                "curves": self._history.curves(lineage),
            }
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

    def _lineages(self, problems: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for lineage in mirrored_lineages(self.folder.path):
            if lineage.endswith(EXPLORERS_SUFFIX):
                continue
            try:
                mirror = ModelMirror(self.folder.path, lineage)
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
                for promotion in self._promotions(lineage, problems)[-MOST_PROMOTIONS:]
            ]
            found.append({"lineage": lineage, "names": names, "versions": versions, "promotions": promotions[::-1]})
        return found

    def _promotions(self, lineage: str, problems: list[str]) -> list[Any]:
        if lineage not in mirrored_lineages(self.folder.path):
            return []
        try:
            return read_promotions(self.folder.path, lineage)
        except DistillError as error:
            problems.append(str(error))
            return []

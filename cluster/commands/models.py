"""`distill models`: list a run's models, show one, export it, roll a promotion back."""

import socket
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.commands.options import parse_options
from cluster.models.decisions import Promotion
from cluster.models.folder_ledger import AnyLedger, FolderLedger
from cluster.models.mirror import ModelMirror, mirrored_lineages
from cluster.models.promotions import read_promotions
from cluster.redis.connection import connect, describe
from cluster.redis.holder import Holder, read_claim
from cluster.redis.ownership import running_server
from cluster.redis.private_server import PrivateRedis
from cluster.services import RedisServices
from cluster.state.folder import RunFolder, open_any_run
from cluster.state.kinds import AnyConfig, kind_of
from distill.config import Section
from distill.errors import ConfigError
from distill.files import require_writable
from distill.model_card import is_model_file, write_model_file
from distill.protocols import STUDENT


class ModelsOptions(Section):
    """List a run's models; with a lineage, list its versions, show or export one, or roll its last promotion back."""

    run: tyro.conf.Positional[Path]
    """Folder of the run; it may be running or not."""
    lineage: str | None = None
    """Lineage of models: `student`, or a Q-learner's, which is named after its games."""
    version: str | None = None
    """Version to show, export or roll back to: a number, or a name such as best, production or latest."""
    export: Path | None = None
    """File to write the version to, as a native model file."""
    roll_back: bool = False
    """Point `production` (`best` in a Q-learner's lineage) back at --version, or without it at what it was before."""


def command(arguments: Sequence[str], console: Console) -> None:
    """List, show, export or roll back."""
    options = parse_options(ModelsOptions, arguments, "models", ModelsOptions.__doc__ or "")
    folder, config = open_any_run(options.run)
    lineages = mirrored_lineages(folder.path)
    if options.lineage is None:
        if options.version is not None or options.export is not None or options.roll_back:
            raise ConfigError(f"lineage: name one with --lineage; this run has {', '.join(lineages) or 'none yet'}")
        console.print(_lineages(folder.path, lineages))
        console.print(_promotions(folder.path, lineages))
        return
    if options.lineage not in lineages:
        raise ConfigError(f"lineage {options.lineage!r}: this run has {', '.join(lineages) or 'none yet'}")
    if options.export is not None and options.roll_back:
        raise ConfigError("--export and --roll-back: give one of the two")
    mirror = ModelMirror(folder.path, options.lineage)
    if options.roll_back:
        version = None if options.version is None else _version(mirror, options.lineage, options.version)
        with _ledger(folder, config, options.lineage) as ledger:
            console.print(_roll_back(ledger, options.lineage, version), soft_wrap=True)
    elif options.export is not None:
        _export(mirror, options.lineage, _version(mirror, options.lineage, options.version or "best"), options.export)
        console.print(f"wrote {options.export}", soft_wrap=True)
    elif options.version is not None:
        version = _version(mirror, options.lineage, options.version)
        shown = {"version": version, **mirror.metadata(version), **_decided(mirror, version)}
        console.print_json(data=shown, ensure_ascii=True)
    else:
        console.print(_versions(mirror, options.lineage))


def _lineages(path: Path, lineages: Sequence[str]) -> Table:
    table = Table(caption=None if lineages else "no model was published yet")
    for column in ("lineage", "versions", "names"):
        table.add_column(column, justify="right" if column == "versions" else "left")
    for lineage in lineages:
        mirror = ModelMirror(path, lineage)
        names = ", ".join(f"{name} {version}" for name, version in sorted(mirror.names().items()))
        table.add_row(lineage, str(len(mirror.versions())), names)
    return table


def _promotions(path: Path, lineages: Sequence[str]) -> Table:
    table = Table(title="promotions", title_justify="left")
    for column in ("when", "lineage", "version", "parent", "scores", "why"):
        table.add_column(column, justify="right" if column in ("version", "parent") else "left")
    rows = [(promotion, lineage) for lineage in lineages for promotion in read_promotions(path, lineage)]
    for promotion, lineage in sorted(rows, key=lambda row: row[0].time):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(promotion.time))
        parent = "" if promotion.parent is None else str(promotion.parent)
        table.add_row(when, lineage, str(promotion.version), parent, _scores(promotion.scores), promotion.why)
    return table


def _scores(scores: dict[str, dict[str, Any]]) -> str:
    parts: list[str] = []
    for game, score in scores.items():
        low, high = score["interval"] or (score["mean"], score["mean"])
        parts.append(f"{game} {score['mean']:.1f} ({low:.1f} to {high:.1f}, {score['episodes']} episodes)")
    return "; ".join(parts)


def _versions(mirror: ModelMirror, lineage: str) -> Table:
    names = mirror.names()
    table = Table(title=lineage, title_justify="left")
    for column in ("version", "names", "weights", "updates", "mean scores", "what became of it"):
        table.add_column(column, justify="right" if column in ("version", "updates") else "left")
    for version in mirror.versions():
        decided = _decided(mirror, version)
        means = "; ".join(f"{game} {sum(s) / len(s):.1f} of {len(s)}" for game, s in decided["scores"].items())
        held = "kept" if mirror.has(version) else ""
        mine = ", ".join(sorted(name for name, at in names.items() if at == version))
        updates = f"{mirror.metadata(version).get('updates', 0):,}"
        table.add_row(str(version), mine, held, updates, means, " ".join(decided["verdict"].values()))
    return table


def _decided(mirror: ModelMirror, version: int) -> dict[str, Any]:
    """Return all scores of a version by game, and its verdict."""
    decisions = mirror.decisions()
    scores = {
        game: [score for blocks in by_purpose.values() for block in blocks.values() for score in block]
        for game, by_purpose in decisions.blocks.get(version, {}).items()
    }
    return {"scores": scores, "verdict": dict(decisions.verdicts.get(version, {}))}


def _version(mirror: ModelMirror, lineage: str, name: str) -> int:
    version = int(name) if name.isdigit() else mirror.names().get(name)
    if version not in mirror.versions():
        names = ", ".join(sorted(mirror.names())) or "none"
        raise ConfigError(
            f"version {name!r}: {lineage} has 1 to {max(mirror.versions(), default=0)} and the names {names}"
        )
    return version


def _export(mirror: ModelMirror, lineage: str, version: int, out: Path) -> None:
    require_writable("export", out, ours=is_model_file, kind="a model file")
    data = mirror.data(version)
    if data is None:
        kept = ", ".join(str(other) for other in mirror.versions() if mirror.has(other))
        raise ConfigError(f"version {version} of {lineage}: its weights were dropped; those of {kept} are kept")
    write_model_file(out, data)


def _roll_back(ledger: AnyLedger, lineage: str, version: int | None) -> str:
    names = ("production",) if lineage == STUDENT else ("best",)
    known = ledger.synchronise()
    present = known.names.get(names[0])
    if present is None:
        raise ConfigError(f"{lineage}: nothing was promoted yet, so there is nothing to roll back")
    if version is None:
        version = next((p.parent for p in reversed(known.decisions.promotions) if p.version == present), None)
        if version is None:
            raise ConfigError(f"{lineage} {present}: there was none before it; name one with --version")
    ledger.roll_back(Promotion(version, present, names, {}, time.time(), "rolled back by a user", "roll-back"))
    return f"{names[0]} of {lineage} is version {version} again, no longer {present}"


@contextmanager
def _ledger(folder: RunFolder, config: AnyConfig, lineage: str) -> Generator[AnyLedger]:
    """Connect to a run's ledger, starting its own Redis for that if it has one that does not run."""
    urls = config.buffer.buffer
    if kind_of(config).data is not None:
        with folder.claim():
            yield FolderLedger(folder.path, lineage)
    elif urls is not None:
        yield _ledger_at(folder, urls, lineage)
    elif (running := running_server(folder.redis)) is not None:
        yield _ledger_at(folder, running, lineage)
    else:
        with folder.claim(), PrivateRedis(folder.redis) as server:
            yield _ledger_at(folder, server.url, lineage)


def _ledger_at(folder: RunFolder, urls: str, lineage: str) -> AnyLedger:
    address = BufferAddress(urls, folder.name, (), Limits(1, 1))
    run_id = folder.run_id()
    with connect(address.registry) as client:
        claim = read_claim(client, folder.name)
        if claim is None and run_id:
            # An empty Redis gets the models back, and whose they are.
            Holder(folder.name, run_id, socket.gethostname(), str(folder.path)).claim(client)
        elif claim is not None and claim.run_id != run_id:
            raise ConfigError(
                f"run {folder.name}: its name at {describe(client)} was taken by the run in {claim.folder} on"
                f" {claim.host}; roll that one back, or delete it first"
            )
    # A user is nobody's incarnation: what he decides counts, whoever works for the run meanwhile.
    return RedisServices(address, folder.path).ledger(lineage)

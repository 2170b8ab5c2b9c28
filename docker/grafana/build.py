"""Writes the dashboards as Grafana's JSON: `python docker/grafana/build.py`, or with another folder behind it."""

import sys
from pathlib import Path

from fleet_dashboard import fleet_dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from run_dashboard import run_dashboard


def main(folder: Path) -> None:
    """Write `run.json` and `fleet.json` into a folder."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    for name, dashboard in (("run", run_dashboard()), ("fleet", fleet_dashboard())):
        (folder / f"{name}.json").write_text(encoder.encode(dashboard) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards"))

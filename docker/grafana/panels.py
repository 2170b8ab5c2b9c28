"""What our dashboards are made of: panels as values, and how they become Grafana's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="distill-prometheus")
"""As docker/grafana/provisioning/datasources/prometheus.yml names it."""

AnyPanel = timeseries.Panel | stat.Panel | table.Panel


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and what its result is called: a legend with `{{label}}`, or a table's column."""

    expression: str
    name: str


@dataclass(frozen=True)
class Lines:
    """Curves over time.

    Attributes:
        title: of the panel.
        help: what to look for.
        queries: one or more.
        unit: Grafana's name of the unit.
        width: in 24ths of the page.
        top: what the axis shows at least, from 0 on.
        logarithmic: whether the axis is.
    """

    title: str
    help: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 8
    top: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Number:
    """The newest value of one query, red at `bad` and above.

    Attributes:
        title: of the panel.
        help: what to look for.
        query: one expression.
        unit: Grafana's name of the unit.
        bad: where it becomes red, None for never.
    """

    title: str
    help: str
    query: Query
    unit: str = "short"
    bad: float | None = None


@dataclass(frozen=True)
class Table:
    """The newest values, one column a query, one row for each value of the labels.

    Attributes:
        title: of the panel.
        help: what to look for.
        labels: the first columns.
        queries: the other columns.
        units: of columns that have one.
        width: in 24ths of the page.
        link: where the first column leads, empty for nowhere.
        empty: what is shown when there is nothing.
    """

    title: str
    help: str
    labels: Sequence[str]
    queries: Sequence[Query]
    units: tuple[tuple[str, str], ...] = ()
    width: int = 24
    link: str = ""
    empty: str = "nothing"


Panel = Lines | Number | Table


@dataclass(frozen=True)
class Row:
    """A question and the panels that answer it."""

    question: str
    panels: Sequence[Panel]


def make_dashboard(
    uid: str, title: str, text: str, variables: Sequence[builders.QueryVariable], rows: Sequence[Row]
) -> dashboard.Dashboard:
    """Return a dashboard with a row of panels for each question."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["distill"])
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for variable in variables:
        made = made.with_variable(variable)
    number = 0
    for row in rows:
        number += 1
        made = made.with_row(builders.Row(row.question).id(number))
        for panel in row.panels:
            number += 1
            made = made.with_panel(_panel(panel).id(number).title(panel.title).description(panel.help))
    return made.build()


def query_variable(name: str, label: str, query: str, *, several: bool) -> builders.QueryVariable:
    """Return a choice of label values at the top of a dashboard."""
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
    return variable.current(everything) if several else variable


def _panel(panel: Panel) -> AnyPanel:
    match panel:
        case Lines():
            return _lines(panel)
        case Number():
            return _number(panel)
        case Table():
            return _table(panel)


def _lines(panel: Lines) -> timeseries.Panel:
    made = timeseries.Panel().datasource(DATASOURCE).unit(panel.unit).span(panel.width).height(8).line_width(1)
    made = made.legend(
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
    made = made.tooltip(
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    if panel.top is not None:
        made = made.axis_soft_min(0).axis_soft_max(panel.top)
    if panel.logarithmic:
        scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        made = made.scale_distribution(scale)
    for target in _targets(panel.queries):
        made = made.with_target(target.range())
    return made


def _number(panel: Number) -> stat.Panel:
    made = stat.Panel().datasource(DATASOURCE).unit(panel.unit).span(4).height(8)
    steps = [dashboard.Threshold(value=None, color="green")]
    if panel.bad is not None:
        steps.append(dashboard.Threshold(value=panel.bad, color="red"))
    made = made.thresholds(builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
    made = made.color_mode(common.BigValueColorMode.VALUE).graph_mode(common.BigValueGraphMode.NONE)
    made = made.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    for target in _targets([panel.query]):
        made = made.with_target(target.instant())
    return made


def _table(panel: Table) -> table.Panel:
    made = table.Panel().datasource(DATASOURCE).span(panel.width).height(8).no_value(panel.empty)
    targets = list(_targets(panel.queries))
    for target in targets:
        made = made.with_target(target.instant().format(PromQueryFormat.TABLE))
    # Grafana calls the value of a lone query `Value`, and those of several ones `Value #A`, `Value #B`, ...
    values = ["Value"] if len(targets) == 1 else [f"Value #{letter}" for letter in ascii_uppercase[: len(targets)]]
    names = dict(zip(values, (query.name for query in panel.queries), strict=True))
    columns = [*panel.labels, *values]
    made = made.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    organise = {
        "excludeByName": {"Time": True},
        "indexByName": {column: index for index, column in enumerate(columns)},
        "renameByName": names,
    }
    made = made.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organise))
    for column, unit in panel.units:
        made = made.override_by_name(column, [dashboard.DynamicConfigValue(id_val="unit", value=unit)])
    if panel.link:
        links = [{"title": "show", "url": panel.link}]
        made = made.override_by_name(panel.labels[0], [dashboard.DynamicConfigValue(id_val="links", value=links)])
    return made


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().datasource(DATASOURCE).expr(query.expression).legend_format(query.name).ref_id(letter)
        for letter, query in zip(ascii_uppercase, queries, strict=False)
    ]

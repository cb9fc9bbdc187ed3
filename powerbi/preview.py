"""Draws the pages of the report with the warehouse's numbers: docs/powerbi-PAGE.png.

    pip install matplotlib "psycopg[binary]"
    PGPASSWORD=bi_reader python powerbi/preview.py

It logs in as bi_reader at localhost, database airflow; PGHOST, PGPORT, PGDATABASE and PGUSER say otherwise.
Places, titles and kinds of the visuals come from the report, formats from the model, numbers from
measures.sql and preview.sql. It shows what is on a page, not how Power BI draws it.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import psycopg
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter

PROJECT = Path(__file__).resolve().parent
PAGES = PROJECT / "shop.Report" / "definition" / "pages"
TABLES = PROJECT / "shop.SemanticModel" / "definition" / "tables"

COLOURS = ["#2f6db5", "#e08b27", "#2f9a78", "#b4496e", "#7a63ad", "#7c8794", "#c2a23a", "#4fa3c7", "#a3543f"]
INK, FAINT, LINE, PAPER = "#22303c", "#6b7885", "#e3e8ed", "#eef2f5"
SHADES = LinearSegmentedColormap.from_list("shades", ["#f1f6fb", COLOURS[0]])
MOST_BARS, MOST_SERIES = 12, 7
DPI = 110


def queries(file: str, mark: str) -> dict[str, str]:
    """Return the queries of a file, each by the name in the comment above it."""
    pieces = (PROJECT / file).read_text().split(f"-- {mark}: ")[1:]
    return {name.strip(): query for name, query in (piece.split("\n", 1) for piece in pieces)}


def formats() -> dict[str, str]:
    """Return the format of every measure and column by its name."""
    found = {}
    for path in TABLES.glob("*.tmdl"):
        declared = r"\t(?:measure|column) '?([^'=\n]+?)'?(?: = .*)?\n(?:\t\t.*\n)*?\t\tformatString: (.*)\n"
        found.update(re.findall(declared, path.read_text()))
    return found


FORMATS = formats()


def written(value: Any, name: str) -> str:
    """Return a value as its format wants it."""
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, int | float | Decimal):
        return str(value)
    pattern = FORMATS[name]
    digits = len(pattern.rstrip("%").partition(".")[2])
    if pattern.endswith("%"):
        return f"{value:.{digits}%}"
    return f"{value:,.{digits}f}" if "," in pattern else f"{value:.{digits}f}"


def short(value: float, name: str) -> str:
    """Return a value as an axis or a card has room for it."""
    if not FORMATS[name].endswith("%"):
        for size, letter in [(1e6, "M"), (1e4, "K")]:
            if abs(value) >= size:
                return f"{value / (1e3 if letter == 'K' else size):.3g}{letter}"
    return written(value, name)


def measure_axis(axis: Any, name: str) -> None:
    """Write an axis in the format of its measure."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value, name) if value else "0"))


class Rows:
    """The answer to a query: names of columns, and rows."""

    def __init__(self, connection: psycopg.Connection, query: str) -> None:
        answer = connection.execute(query)
        self.names = [column.name for column in answer.description or []]
        self.rows = answer.fetchall()
        self.titles: dict[str, str] = {}
        if not self.rows:
            raise SystemExit(f"nothing to show: {query}")

    def column(self, place: int) -> list[Any]:
        return [row[place] for row in self.rows]

    def numbers(self, place: int) -> list[float]:
        return [float(value or 0) for value in self.column(place)]


def legend(axes: Axes) -> None:
    """Write the names of the series above the plot."""
    edge = 36 / axes.get_window_extent().width * DPI / 100
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-edge, 1.0),
        ncols=8,
        frameon=False,
        fontsize=7.5,
        labelcolor=FAINT,
        handlelength=1.0,
        columnspacing=1.0,
        borderpad=0.1,
    )


def line(axes: Axes, data: Rows) -> None:
    """Draw a line for each measure over the days."""
    for place, name in enumerate(data.names[1:], start=1):
        axes.plot(data.column(0), data.numbers(place), color=COLOURS[place - 1], linewidth=1.8, label=name)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=LINE)
    measure_axis(axes.yaxis, data.names[1])
    dates(axes)
    if len(data.names) > 2:
        legend(axes)


def dates(axes: Axes) -> None:
    """Write few dates below the plot, in short."""
    locator = mpl.dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%d %b"))
    axes.margins(x=0.01)


def bars(axes: Axes, data: Rows) -> None:
    """Draw a horizontal bar for each of the greatest members."""
    members, values = data.column(0)[:MOST_BARS], data.numbers(1)[:MOST_BARS]
    places = range(len(members))
    axes.barh(places, values, color=COLOURS[0], height=0.7)
    axes.set_yticks(places, [str(member) for member in members])
    axes.invert_yaxis()
    axes.set_xlim(right=max(values) * 1.16)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {short(value, data.names[1])}", va="center", fontsize=7.5, color=FAINT)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def columns(axes: Axes, data: Rows) -> None:
    """Draw a column for each member and measure."""
    members, measures = data.column(0), data.names[1:]
    if isinstance(members[0], datetime.date):
        axes.bar(members, data.numbers(1), width=5.6, color=COLOURS[0])
        dates(axes)
        axes.set_xticks(members)
    else:
        width = 0.8 / len(measures)
        for nth, name in enumerate(measures):
            shift = (nth - (len(measures) - 1) / 2) * width
            values = data.numbers(nth + 1)
            places = [place + shift for place in range(len(members))]
            axes.bar(places, values, width * 0.92, color=COLOURS[nth], label=name)
            for place, value in zip(places, values, strict=True) if len(members) < 5 else []:
                label = short(value, name)
                axes.text(place, value, label, ha="center", va="bottom", fontsize=7.5, color=FAINT)
        axes.set_xticks(range(len(members)), [str(member) for member in members])
        if len(measures) > 1:
            legend(axes)
    axes.grid(axis="y", color=LINE)
    measure_axis(axes.yaxis, measures[0])


def by_series(data: Rows) -> tuple[list[Any], dict[str, list[float]]]:
    """Turn rows of category, series and value into a list of values for each series."""
    categories = sorted({row[0] for row in data.rows if row[0] is not None})
    places = {category: place for place, category in enumerate(categories)}
    series: dict[str, list[float]] = {}
    for category, name, value in data.rows:
        if category is not None:
            series.setdefault(name, [0.0] * len(categories))[places[category]] = float(value)
    return categories, dict(sorted(series.items(), key=lambda item: -sum(item[1])))


def stacked(axes: Axes, data: Rows) -> None:
    """Draw the series on top of each other, the least of many as one."""
    categories, series = by_series(data)
    names = list(series)
    if len(names) > MOST_SERIES:
        rest = zip(*(series.pop(name) for name in names[MOST_SERIES - 1 :]), strict=True)
        series["others"] = [sum(values) for values in rest]
    below = [0.0] * len(categories)
    for nth, (name, values) in enumerate(series.items()):
        axes.bar(categories, values, 0.84, bottom=below, color=COLOURS[nth], label=name)
        below = [lower + value for lower, value in zip(below, values, strict=True)]
    axes.grid(axis="y", color=LINE)
    measure_axis(axes.yaxis, data.names[2])
    if isinstance(categories[0], datetime.date):
        dates(axes)
    axes.margins(x=0.01)
    legend(axes)


def donut(axes: Axes, data: Rows) -> None:
    """Draw each member's share of the whole."""
    values = data.numbers(1)
    total = sum(values)
    labels = [
        f"{member}\n{short(value, data.names[1])}, {value / total:.1%}"
        for member, value in zip(data.column(0), values, strict=True)
    ]
    axes.pie(
        values,
        labels=labels,
        colors=COLOURS,
        startangle=90,
        counterclock=False,
        wedgeprops={"width": 0.42, "edgecolor": "white"},
        textprops={"fontsize": 8.5, "color": INK},
        radius=1.1,
    )


def funnel(axes: Axes, data: Rows) -> None:
    """Draw the steps under each other, each as wide as it is great."""
    values = [float(value) for value in data.rows[0]]
    for place, (name, value) in enumerate(zip(data.names, values, strict=True)):
        axes.barh(place, value, left=-value / 2, color=COLOURS[0], alpha=1 - 0.13 * place, height=0.86)
        label = f"{written(value, name)}  ({value / values[0]:.1%})"
        axes.text(0, place, label, ha="center", va="center", fontsize=10, color="white", weight="bold")
    axes.set_yticks(range(len(values)), data.names)
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def table(axes: Axes, data: Rows) -> None:
    """Write the first rows that there is room for."""
    heads = [data.titles.get(name, name) for name in data.names]
    axes.axis("off")
    height = axes.get_window_extent().height / DPI
    room = max(3, int(height / 0.2) - 1)
    cells = [
        [written(value, name) for value, name in zip(row, data.names, strict=True)]
        for row in data.rows[:room]
    ]
    texts = [isinstance(value, str) for value in data.rows[0]]
    lengths = [max(len(head), *(len(row[nth]) for row in cells)) for nth, head in enumerate(heads)]
    right = [sum(lengths[: nth + 1]) / sum(lengths) for nth in range(len(lengths))]
    left = [0.0, *right[:-1]]
    step = 1 / (room + 1)
    for number, row in enumerate([heads, *cells]):
        y = 1 - (number + 0.5) * step
        for nth, cell in enumerate(row):
            x, side = (left[nth], "left") if texts[nth] else (right[nth] - 0.01, "right")
            colour, weight = (FAINT, "bold") if number == 0 else (INK, "normal")
            axes.text(x, y, cell, ha=side, va="center", fontsize=7.5, color=colour, weight=weight)
        axes.plot([0, 1], [1 - (number + 1) * step] * 2, color=LINE, linewidth=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1))


def matrix(axes: Axes, data: Rows) -> None:
    """Write the value of each row and column, darker where it is greater."""
    weeks = sorted({row[0] for row in data.rows})
    since = list(range(max(row[1] for row in data.rows) + 1))
    for week, nth, value in data.rows:
        place = weeks.index(week)
        axes.add_patch(plt.Rectangle((nth - 0.5, place - 0.5), 1, 1, color=SHADES(float(value)), linewidth=0))
        shade = "white" if value > 0.55 else INK
        axes.text(nth, place, f"{value:.0%}", ha="center", va="center", fontsize=6.8, color=shade)
    axes.set(xlim=(-0.5, len(since) - 0.5), ylim=(len(weeks) - 0.5, -0.5))
    axes.set_xticks(since, since)
    axes.set_yticks(range(len(weeks)), [f"{week:%d %b}" for week in weeks])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)


DRAWN = {
    "lineChart": line,
    "clusteredBarChart": bars,
    "clusteredColumnChart": columns,
    "columnChart": stacked,
    "donutChart": donut,
    "funnel": funnel,
    "tableEx": table,
    "pivotTable": matrix,
}


def title_of(visual: dict[str, Any]) -> str:
    """Return the title that the report gives to a visual."""
    title = visual["visualContainerObjects"]["title"][0]["properties"].get("text")
    return title["expr"]["Literal"]["Value"].strip("'").replace("''", "'") if title else ""


def titles_of(visual: dict[str, Any]) -> dict[str, str]:
    """Return what the report calls a visual's fields, where that is not their name."""
    roles = visual["query"]["queryState"].values()
    fields = [field for role in roles for field in role["projections"]]
    return {field["nativeQueryRef"]: field["displayName"] for field in fields if "displayName" in field}


class Page:
    """A page on its canvas, in the report's own pixels."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = json.loads((PAGES / name / "page.json").read_text())
        self.width, self.height = self.content["width"], self.content["height"]
        self.figure: Figure = plt.figure(figsize=(self.width / 100, self.height / 100 + 0.5), dpi=DPI)
        self.figure.patch.set_facecolor(PAPER)
        self.top = self.height + 50

    def place(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        return x / self.width, (self.top - 50 - y - height) / self.top, width / self.width, height / self.top

    def box(self, position: dict[str, float]) -> tuple[float, float, float, float]:
        x, y, width, height = (position[name] for name in ("x", "y", "width", "height"))
        left, bottom, wide, high = self.place(x, y, width, height)
        frame = FancyBboxPatch(
            (left, bottom),
            wide,
            high,
            boxstyle="round,pad=0,rounding_size=0.004",
            facecolor="white",
            edgecolor=LINE,
            transform=self.figure.transFigure,
            zorder=-1,
        )
        self.figure.add_artist(frame)
        return x, y, width, height

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        self.figure.text(x / self.width, (self.top - 50 - y) / self.top, text, **style)

    def card(self, position: dict[str, float], name: str, value: float) -> None:
        x, y, width, height = self.box(position)
        middle = {"ha": "center", "va": "center"}
        self.write(x + width / 2, y + height * 0.4, short(value, name), fontsize=17, color=INK, **middle)
        self.write(x + width / 2, y + height * 0.77, name, fontsize=8.5, color=FAINT, **middle)

    def slicer(self, position: dict[str, float], title: str, choice: str) -> None:
        x, y, _, height = self.box(position)
        self.write(x + 12, y + height * 0.27, title, fontsize=8.5, color=FAINT, va="center")
        self.write(x + 12, y + height * 0.64, choice, fontsize=10.5, color=INK, va="center")

    def chart(self, position: dict[str, float], visual: dict[str, Any], data: Rows) -> None:
        x, y, width, height = self.box(position)
        kind = visual["visualType"]
        self.write(x + 12, y + 18, title_of(visual), fontsize=9.5, color=INK, weight="bold", va="center")
        labels = {"funnel": 128, "tableEx": 12, "donutChart": 12, "pivotTable": 52}
        below = {"tableEx": 6, "donutChart": 10, "clusteredBarChart": 10, "funnel": 10, "pivotTable": 10}
        above = {"tableEx": 34, "clusteredBarChart": 34, "funnel": 38, "donutChart": 40}
        if kind == "clusteredBarChart":
            labels[kind] = 22 + round(5.4 * max(len(str(member)) for member in data.column(0)[:MOST_BARS]))
        left, under, over = labels.get(kind, 50), below.get(kind, 28), above.get(kind, 54)
        axes = self.figure.add_axes(self.place(x + left, y + over, width - left - 14, height - over - under))
        axes.tick_params(colors=FAINT, labelsize=7.5, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.set_axisbelow(True)
        DRAWN[kind](axes, data)


def draw(name: str, connection: psycopg.Connection, folder: Path) -> None:
    """Draw one page."""
    measures, shown = queries("measures.sql", "measure"), queries("preview.sql", "visual")
    days = Rows(
        connection,
        "select min(full_date), max(full_date) from marts.dim_date"
        " where date_sk in (select date_sk from marts.fact_event)",
    )
    first, last = days.rows[0]
    page = Page(name)
    page.write(16, -22, page.content["displayName"], fontsize=16, color=INK, weight="bold", va="center")
    note = "the warehouse's numbers, drawn by powerbi/preview.py: Power BI has its own look"
    page.write(page.width - 16, -22, note, fontsize=8, color=FAINT, ha="right", va="center")
    for path in sorted((PAGES / name / "visuals").glob("*/visual.json")):
        content = json.loads(path.read_text())
        visual, position = content["visual"], content["position"]
        if visual["visualType"] == "card":
            measure = visual["query"]["queryState"]["Values"]["projections"][0]["nativeQueryRef"]
            page.card(position, measure, Rows(connection, measures[measure]).numbers(0)[0])
        elif visual["visualType"] == "slicer":
            choice = f"{first} to {last}" if content["name"] == "days" else "All"
            page.slicer(position, title_of(visual), choice)
        else:
            data = Rows(connection, shown[f"{name}/{content['name']}"])
            data.titles = titles_of(visual)
            page.chart(position, visual, data)
    page.figure.savefig(folder / f"powerbi-{name}.png", facecolor=PAPER)
    plt.close(page.figure)


def main() -> None:
    """Draw every page of the report into docs/."""
    plt.rcParams["font.family"] = "DejaVu Sans"
    where = {"PGHOST": "localhost", "PGDATABASE": "airflow", "PGUSER": "bi_reader"}
    for name, value in where.items():
        os.environ.setdefault(name, value)
    with psycopg.connect() as connection:
        for name in json.loads((PAGES / "pages.json").read_text())["pageOrder"]:
            draw(name, connection, PROJECT.parent / "docs")


if __name__ == "__main__":
    main()

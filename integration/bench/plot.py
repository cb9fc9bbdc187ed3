"""Draws the results of `make bench`: one PNG per group of figures, ours beside the peers'."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OURS, PEER = "#1b7f5c", "#9aa4b1"


def median_and_spread(values):
    middle = statistics.median(values)
    return middle, (middle - min(values), max(values) - middle)


def draw(folder, group, figures):
    unit = figures[0]["unit"]
    labels, middles, spreads, colours = [], [], [], []
    for figure in figures:
        sides = [("ours", figure["ours"], OURS)]
        if figure["peer"]:
            sides.append((figure["peer"]["name"], figure["peer"]["values"], PEER))
        for name, values, colour in sides:
            label = f"{figure['what']}: {name}"
            if label in labels or not values:
                continue
            middle, spread = median_and_spread(values)
            labels.append(label)
            middles.append(middle)
            spreads.append(spread)
            colours.append(colour)
    height = 1.2 + 0.42 * len(labels)
    chart, axes = plt.subplots(figsize=(9, height), layout="constrained")
    places = range(len(labels))
    axes.barh(places, middles, xerr=list(zip(*spreads, strict=True)), color=colours, capsize=3)
    axes.set_xscale("log")
    axes.set_xlim(left=min(middles) / 3, right=max(middles) * 6)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    for place, middle, (_, above) in zip(places, middles, spreads, strict=True):
        digits = 0 if middle >= 100 else 2
        axes.text((middle + above) * 1.2, place, f"{middle:,.{digits}f}", va="center", fontsize=9)
    # from the right edge, for the bars leave it little room
    axes.set_xlabel(f"{unit} (logarithmic; medians, with the least and the most)", loc="right")
    axes.spines[["top", "right"]].set_visible(False)
    chart.savefig(folder / f"{group}.png", dpi=110)
    plt.close(chart)


def main():
    folder = Path(sys.argv[1])
    groups = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        figure = json.loads(path.read_text())
        if figure["peer"]:
            kind = {"µs/event": "cpu", "MiB": "memory", "bytes/event": "bytes"}.get(figure["unit"])
            groups[kind or path.stem.split("-")[0]].append(figure)
    for group, figures in groups.items():
        draw(folder, group, figures)


main()

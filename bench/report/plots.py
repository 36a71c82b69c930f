# SPDX-License-Identifier: MIT
"""SVG plots by gnuplot, the limit drawn into each as a dashed line."""
import os
import shutil
import subprocess

from .goals import rows

COLOURS = ["#1f77b4", "#17becf", "#d62728", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b",
           "#7f7f7f", "#bcbd22"]
LIMIT = "dashtype 2 linewidth 1.5"


class Plot:
    """Curves or bars, and the commands that draw them."""

    def __init__(self, title, xlabel, ylabel):
        self.data = []
        self.lines = []
        self.commands = [f'set title "{title}"', f'set xlabel "{xlabel}"', f'set ylabel "{ylabel}"',
                         "set grid ytics lc rgb '#dddddd'", "set key outside right top"]

    def block(self, points):
        name = f"$data{len(self.data)}"
        text = "\n".join(" ".join(str(cell) for cell in point) for point in points)
        self.data.append(f"{name} << EOD\n{text}\nEOD")
        return name

    def curve(self, points, title, colour, limit=False):
        if not points:
            return
        style = f"with lines {LIMIT}" if limit else "with linespoints pointtype 7 pointsize 0.5 linewidth 2"
        shown = f'title "{title}"' if title else "notitle"
        self.lines.append(f'{self.block(points)} using 1:2 {style} lc rgb "{colour}" {shown}')

    def bars(self, points, title, colour):
        """Points are (place, value, label)."""
        named = [(place, value, f'"{label}"') for place, value, label in points]
        self.lines.append(f'{self.block(named)} using 1:2:xtic(3) with boxes lc rgb "{colour}" title "{title}"')

    def text(self, path):
        head = ['set terminal svg size 900,480 font "sans,12" noenhanced background "white"',
                f'set output "{path}"']
        return "\n".join(head + self.data + self.commands + ["plot " + ", \\\n  ".join(self.lines)]) + "\n"


def rings_of(found):
    seen = []
    for row in found:
        if row["ring"] not in seen:
            seen.append(row["ring"])
    return seen


def ring_plot(programs, key, limit_key, title, ylabel, limit_title):
    found = rows(programs, "ring_two_threads", buffers=1, kicks="none")
    found = [row for row in found if row[key] is not None and row[limit_key] is not None]
    if not found:
        return None
    plot = Plot(title, "requests per batch (log)", ylabel + " (log)")
    plot.commands += ["set logscale x 2", "set logscale y 10"]
    for colour, ring in zip(COLOURS, rings_of(found)):
        of_ring = [row for row in found if row["ring"] == ring]
        plot.curve([(row["batch"], row[key]) for row in of_ring], ring, colour)
        plot.curve([(row["batch"], row[limit_key]) for row in of_ring], f"{ring}: {limit_title}",
                   colour, limit=True)
    return plot


def ring_batch(programs):
    return ring_plot(programs, "ns", "bound_ns", "Two CPUs, both sides poll: time per request",
                     "ns per request", "bound")


def ring_lines(programs):
    return ring_plot(programs, "lines", "least_lines",
                     "Two CPUs: cache lines moved per request (without a counter: at most)",
                     "lines per request", "least")


def ring_flat(programs, axis, title, xlabel):
    found = rows(programs, "ring_sizes", sweep=axis)
    if not found:
        return None
    plot = Plot(title, xlabel, "ns per request, both sides")
    plot.commands += ["set logscale x 2", "set yrange [0:*]"]
    for colour, ring in zip(COLOURS, rings_of(found)):
        of_ring = sorted((row[axis], row["ns"]) for row in found if row["ring"] == ring)
        low = min(ns for _, ns in of_ring)
        plot.curve(of_ring, ring, colour)
        plot.curve([(of_ring[0][0], low * 1.1), (of_ring[-1][0], low * 1.1)], f"{ring}: + 10 %", colour,
                   limit=True)
    return plot


def ring_sizes(programs):
    return ring_flat(programs, "size", "One thread plays both sides: cost against queue size",
                     "entries (log)")


def ring_queues(programs):
    return ring_flat(programs, "queues", "One thread plays both sides: cost against number of queues",
                     "queues of 256 entries (log)")


def reads_by_depth(found, title, limit_of, limit_title):
    """Groups of bars, one per depth."""
    depths = sorted({row["depth"] for row in found})
    whos = [who for who in dict.fromkeys(row["who"] for row in found) if who != limit_of]
    limit = [row["per_s"] for row in found if row["who"] == limit_of]
    if not whos:
        return None
    plot = Plot(title, "", "reads per second (log)")
    width = len(whos) + 1
    plot.commands += ["set logscale y 10", 'set format y "%.0f"', "set style fill solid", "set boxwidth 0.9",
                      f"set xrange [-1:{width * len(depths)}]"]
    for place, who in enumerate(whos):
        points = [(width * depths.index(row["depth"]) + place, row["per_s"],
                   f"depth {row['depth']}" if place == 2 else "") for row in found if row["who"] == who]
        plot.bars(points, who, COLOURS[place % len(COLOURS)])
    if limit:
        plot.curve([(-1, max(limit)), (width * len(depths), max(limit))], limit_title, "black", limit=True)
    return plot


def block_random(programs):
    return reads_by_depth(rows(programs, "block_peers", load="random 4 KiB"), "4 KiB random reads",
                          "memcpy", "limit: memcpy by one CPU")


def vhost_user(programs):
    return reads_by_depth(rows(programs, "vhost_user"), "4 KiB random reads through vhost-user",
                          "storage daemon, reads nothing", "limit: the daemon's rings alone")


def bars_with_limit(title, ylabel, points, limit, limit_title):
    """Points are (label, value)."""
    plot = Plot(title, "", ylabel)
    plot.commands += ["set style fill solid", "set boxwidth 0.7", "set yrange [0:*]",
                      "set xtics rotate by -20", f"set xrange [-0.7:{len(points) - 0.3}]"]
    plot.bars([(i, value, label) for i, (label, value) in enumerate(points)], ylabel, COLOURS[0])
    plot.curve([(-0.7, limit), (len(points) - 0.3, limit)], limit_title, "black", limit=True)
    return plot


def block_sequential(programs):
    limit = max((row["gb_per_s"] for row in rows(programs, "block_copy")
                 if row["what"].startswith("memcpy")), default=None)
    points = [(row["what"], row["gb_per_s"]) for row in rows(programs, "block_copy")
              if row["what"].startswith("l4")]
    points += [(row["who"], row["gb_per_s"])
               for row in rows(programs, "block_peers", load="sequential 1 MiB")
               if row["who"] not in ("memcpy", "l4, memory image")]
    if not points or not limit:
        return None
    return bars_with_limit("1 MiB sequential", "GB/s", points, limit,
                           "limit: memcpy by one CPU")


def block_latency(programs):
    found = rows(programs, "block_latency")
    if not found:
        return None
    plot = Plot("4 KiB round trip, depth 1, memory image", "", "us (log)")
    plot.commands += ["set logscale y 10", "set style fill solid", "set boxwidth 0.7",
                      "set xtics rotate by -20", f"set xrange [-0.7:{len(found) - 0.3}]"]
    plot.bars([(i, row["ns"] / 1e3, row["what"]) for i, row in enumerate(found)], "read", COLOURS[0])
    for i, row in enumerate(found):
        limit = row["limit_ns"] / 1e3
        plot.curve([(i - 0.45, limit), (i + 0.45, limit)], "" if i else "limit", "black", limit=True)
    return plot


def limits(programs):
    found = rows(programs, "limits", lines_one_way="announced together")
    alone = rows(programs, "limits", lines_one_way="looked at one by one")
    if not found:
        return None
    plot = Plot("One way between two CPUs: time per cache line", "lines announced together (log)",
                "ns per line")
    plot.commands += ["set logscale x 2", "set yrange [0:*]"]
    plot.curve([(row["batch"], row["ns_per_line"]) for row in found], "announced together", COLOURS[0])
    for row in alone:
        plot.curve([(found[0]["batch"], row["ns_per_line"]), (found[-1]["batch"], row["ns_per_line"])],
                   "looked at one by one", "black", limit=True)
    return plot


PLOTS = (limits, ring_batch, ring_lines, ring_sizes, ring_queues, block_random, block_sequential,
         block_latency, vhost_user)


def draw(results, folder):
    """Writes an SVG per plot that has data. Returns None, or why nothing was drawn."""
    if not shutil.which("gnuplot"):
        return "no gnuplot"
    for make in PLOTS:
        plot = make(results["programs"])
        if plot:
            path = os.path.join(folder, make.__name__ + ".svg")
            subprocess.run(["gnuplot"], input=plot.text(path), text=True, check=True,
                           stdout=subprocess.DEVNULL)
    return None

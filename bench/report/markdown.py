# SPDX-License-Identifier: MIT
"""The tables of docs/performance.md, so that nothing is copied by hand."""
import glob
import os
import shutil

from . import goals
from .goals import rows


def short(value):
    """Three digits or so."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, body):
    """Columns of numbers are aligned right: all but the first."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(short(cell) for cell in row) + " |" for row in body]
    return "\n".join(lines)


BEGIN = "<!-- From here on written by scripts/bench --docs. -->"
END = "<!-- Up to here written by scripts/bench --docs. -->"


def section(title, text, *plots):
    images = "".join(f"\n\n![{title}](performance/{plot}.svg)" for plot in plots)
    return f"### {title}\n\n{text}{images}"


def goal_table(results):
    return table(goals.HEAD, [goals.cells(row) for row in results["figures"]])


def limit_table(programs):
    body = [(row["what"], f"{short(row['value'])} {row['unit']}") for row in rows(programs, "limits")
            if "what" in row]
    for row in rows(programs, "limits"):
        if "lines_one_way" in row:
            how = row["lines_one_way"]
            how += f", {row['batch']} at a time" if row["batch"] > 1 else ""
            body.append((f"cache lines one way, {how}", f"{short(row['ns_per_line'])} ns per line"))
    return table(["limit", "value"], body)


def ring_table(programs, **wanted):
    body = [(row["ring"], row["batch"], row["ns"], row["million_per_s"], row["driver_ns"],
             row["device_ns"], row["least_lines"],
             f"{short(row['lines'])}{'' if row['lines_are'] == 'counted' else ' at most'}",
             row["limit_ns"], row["ratio"]) for row in rows(programs, "ring_two_threads", **wanted)]
    return table(["ring", "batch", "ns", "million/s", "driver alone, ns", "device alone, ns",
                  "lines, least", "lines", "line limit, ns", "of the bound"], body)


def flat_table(programs, axis):
    found = rows(programs, "ring_sizes", sweep=axis)
    places = sorted({row[axis] for row in found})
    body = []
    for ring in dict.fromkeys(row["ring"] for row in found):
        ns = {row[axis]: row["ns"] for row in found if row["ring"] == ring}
        body.append([ring] + [ns.get(place) for place in places])
    return table(["ring"] + [str(place) for place in places], body)


def instruction_table(programs):
    body = [(f"{row['ring']}, {row['features']}", int(row["batch"]), int(row["calls"]),
             int(row["buffers"]), row["instructions_per_request"])
            for row in rows(programs, "ring_instructions")]
    return table(["ring", "batch", "calls", "buffers", "instructions per request"], body)


def latency_table(programs):
    body = [(row["what"], goals.number(row["ns"], "ns"), goals.number(row["limit_ns"], "ns"), row["ratio"])
            for row in rows(programs, "block_latency")]
    return table(["4 KiB read, depth 1", "round trip", "limit", "ratio"], body)


def copy_table(programs):
    body = [(row["what"], row["gb_per_s"], row["of_memcpy"]) for row in rows(programs, "block_copy")]
    return table(["256 MiB by 1 MiB", "GB/s", "of memcpy"], body)


def peer_table(programs):
    body = [(f"{row['load']}, depth {row['depth']}", row["who"], goals.number(row["per_s"], "/s"),
             row["gb_per_s"], row["l4_memory_is"]) for row in rows(programs, "block_peers")]
    return table(["load", "who", "reads", "GB/s", "l4 memory image is, times"], body)


def when(programs, name):
    described = programs.get(name, {}).get("machine")
    return f"Measured {described['date']}, load {described['load']}.\n\n" if described else ""


def vhost_table(programs):
    """What a server's CPU allows: reads per second of CPU time, all its threads together."""
    body = []
    for row in sorted(rows(programs, "vhost_user"), key=lambda row: row["depth"]):
        busy = row["server_cpus"]
        body.append((f"depth {row['depth']}", row["who"], goals.number(row["per_s"], "/s"),
                     f"{busy:.2f}" if busy else "",
                     f"{busy / row['per_s'] * 1e6:.2f} us" if busy else "", row["our_driver_is"]))
    return when(programs, "vhost_user") + table(
        ["random 4 KiB", "who", "reads", "CPUs of the server", "its CPU time per read",
         "our driver at the storage daemon is, times"], body)


def guest_table(programs):
    body = [(f"{row['load']}, depth {row['depth']}", row["who"], goals.number(row["reads_per_s"], "/s"),
             goals.number(row["lowest"], "/s"), goals.number(row["highest"], "/s"))
            for row in rows(programs, "guest_reads")]
    return when(programs, "guest_reads") + table(
        ["user-mode-linux, O_DIRECT", "device", "reads", "lowest", "highest"], body)


def tables(results):
    programs = results["programs"]
    described = results["machine"]
    about = "\n".join(f"- {key}: {described[key]}"
                      for key in ("cpu", "kernel", "compiler", "flags", "placement", "load", "date"))
    about += f"\n- rounds: {results['rounds']}, interleaved, medians"
    parts = [
        section("The machine", about),
        section("Goals", goal_table(results)),
        section("Limits", limit_table(programs), "limits"),
        section("Ring, two CPUs, polling", ring_table(programs, buffers=1, kicks="none"),
                "ring_batch", "ring_lines"),
        section("Ring, two CPUs, with a decision about kicks after each batch",
                ring_table(programs, buffers=1, kicks="decided")),
        section("Ring, two CPUs, three buffers per request", ring_table(programs, buffers=3)),
        section("Ring, one thread, instructions", instruction_table(programs)),
        section("Ring, one thread, ns per request against entries", flat_table(programs, "size"),
                "ring_sizes"),
        section("Ring, one thread, ns per request against queues", flat_table(programs, "queues"),
                "ring_queues"),
        section("Block, one read at a time", latency_table(programs), "block_latency"),
        section("Block, sequential", copy_table(programs), "block_sequential"),
        section("Block, against others", peer_table(programs), "block_random"),
        section("vhost-user, against others", vhost_table(programs), "vhost_user"),
        section("vhost-user, a Linux guest", guest_table(programs)),
    ]
    skips = [f"- {name}: {why}" for name, why in goals.skipped(programs)]
    if skips:
        parts.append(section("Skipped", "\n".join(skips)))
    return "\n\n".join(parts)


def write_docs(results, output, docs):
    """Puts the tables between the two marks of performance.md, and the plots into performance/."""
    path = os.path.join(docs, "performance.md")
    with open(path, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}")
    os.makedirs(os.path.join(docs, "performance"), exist_ok=True)
    for plot in glob.glob(os.path.join(output, "*.svg")):
        shutil.copy(plot, os.path.join(docs, "performance"))

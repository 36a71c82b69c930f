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


def goal_table(results, of_vhost):
    return table(goals.HEAD, [goals.cells(row) for row in results["figures"]
                              if goals.is_vhost(row) == of_vhost])


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


def sections(results):
    """(title, the program whose figures they are, text)."""
    programs = results["programs"]
    described = results["machine"]
    about = "\n".join(f"- {key}: {described[key]}"
                      for key in ("cpu", "kernel", "compiler", "flags", "placement", "load", "date"))
    about += f"\n- rounds: {results['rounds']}, interleaved, medians"
    skips = [f"- {name}: {why}" for name, why in goals.skipped(programs)]
    ring = "ring_two_threads"
    rows_of = [
        ("The machine", ring, about),
        ("Goals", ring, goal_table(results, False)),
        ("Limits", "limits", limit_table(programs), "limits"),
        ("Ring, two CPUs, polling", ring, ring_table(programs, buffers=1, kicks="none"),
         "ring_batch", "ring_lines"),
        ("Ring, two CPUs, with a decision about kicks after each batch", ring,
         ring_table(programs, buffers=1, kicks="decided")),
        ("Ring, two CPUs, three buffers per request", ring, ring_table(programs, buffers=3)),
        ("Ring, one thread, instructions", "ring_instructions", instruction_table(programs)),
        ("Ring, one thread, ns per request against entries", "ring_sizes",
         flat_table(programs, "size"), "ring_sizes"),
        ("Ring, one thread, ns per request against queues", "ring_sizes",
         flat_table(programs, "queues"), "ring_queues"),
        ("Block, one read at a time", "block_latency", latency_table(programs), "block_latency"),
        ("Block, sequential", "block_copy", copy_table(programs), "block_sequential"),
        ("Block, against others", "block_peers", peer_table(programs), "block_random"),
        ("vhost-user, goals", "vhost_user", goal_table(results, True)),
        ("vhost-user, against others", "vhost_user", vhost_table(programs), "vhost_user"),
        ("vhost-user, a Linux guest", "guest_reads", guest_table(programs)),
        ("Skipped", ring if skips or not rows(programs, ring) else None, "\n".join(skips)),
    ]
    return [(title, program, section(title, text, *plots))
            for title, program, text, *plots in rows_of]


def tables(results):
    return "\n\n".join(text for _, program, text in sections(results)
                       if program is not None and rows(results["programs"], program))


def kept(text):
    """Sections that are there, by title."""
    pieces = ("\n" + text).split("\n### ")[1:]
    return {piece.split("\n", 1)[0]: "### " + piece.strip() for piece in pieces}


def write_docs(results, output, docs):
    """
    Puts the tables between the two marks of performance.md, and the plots into performance/. What the
    record has no figures of stays as it is: it may be of a part alone.
    """
    path = os.path.join(docs, "performance.md")
    with open(path, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    old, after = rest.split(END)
    there = kept(old)
    pieces = []
    for title, program, text in sections(results):
        measured = program is not None and rows(results["programs"], program)
        if measured or title in there and program is not None:
            pieces.append(text if measured else there[title])
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n" + "\n\n".join(pieces) + f"\n\n{END}{after}")
    os.makedirs(os.path.join(docs, "performance"), exist_ok=True)
    for plot in glob.glob(os.path.join(output, "*.svg")):
        shutil.copy(plot, os.path.join(docs, "performance"))

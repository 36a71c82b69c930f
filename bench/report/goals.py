# SPDX-License-Identifier: MIT
"""The figures that have a goal, each beside the limit or reference of the same run."""

HEAD = ["figure", "value", "limit or reference", "ratio", "goal", "met"]

TWO_THREADS_GOAL = 1.5
SLEEPING_GOAL = 1.25
NBD_GOAL = 20
MEMCPY_GOAL = 0.8
FLAT_GOAL = 1.10
VHOST_NBD_GOAL = 4
VHOST_FILE_GOAL = 0.8
GUEST_GOAL = 1.0


def rows(programs, program, **wanted):
    """Rows of a program whose cells are as wanted."""
    found = programs.get(program, {}).get("rows", [])
    return [row for row in found if all(row.get(key) == value for key, value in wanted.items())]


def skipped(programs):
    """(name, why), each once."""
    found = [(skip["name"], skip["why"]) for program in programs.values()
             for skip in program["skipped"]]
    return list(dict.fromkeys(found))


def number(value, unit):
    if unit == "ns" and value >= 1000:
        return f"{value / 1000:.2f} us"
    if unit == "/s":
        return f"{value / 1000:.{0 if value >= 10000 else 1}f} k/s"
    if unit in ("instructions", "bytes"):
        return f"{value:.1f}".rstrip("0").rstrip(".") + (" bytes" if unit == "bytes" else "")
    return f"{value:.2f} {unit}".strip()


def figure(name, value, unit, goal, reference=None, reference_value=None, ratio=None, least=False):
    """`goal` is for the ratio if there is one, else for the value; `least`: at least, not at most."""
    held = value if ratio is None else ratio
    met = held >= goal if least else held <= goal
    return {
        "figure": name, "value": value, "unit": unit, "reference": reference,
        "reference_value": reference_value, "ratio": ratio, "goal": goal,
        "goal_is": "at least" if least else "at most", "met": met,
        "missed_by_percent": 0 if met else round(abs(held / goal - 1) * 100, 1),
    }


def cells(row):
    """The figure as texts, in the order of HEAD."""
    reference = ""
    if row["reference"]:
        reference = f"{row['reference']}: {number(row['reference_value'], row['unit'])}"
    return [
        row["figure"], number(row["value"], row["unit"]), reference,
        "" if row["ratio"] is None else f"{row['ratio']:.2f}",
        f"{row['goal_is']} {row['goal']:g}",
        "yes" if row["met"] else f"missed by {row['missed_by_percent']:g} %",
    ]


def instructions(programs):
    wanted = [
        ("split, batch 32", "split", "none", "1", 60),
        ("packed in order, batch 32", "packed", "in_order", "1", 50),
        ("packed in order, batch 32, one result per batch", "packed", "in_order batched", "1", 50),
        ("split, a call per request", "split", "none", "32", 85),
        ("packed in order, a call per request", "packed", "in_order", "32", 80),
    ]
    for name, ring, features, calls, goal in wanted:
        for row in rows(programs, "ring_instructions", ring=ring, features=features, batch="32",
                        calls=calls, buffers="1"):
            yield figure(f"instructions per request: {name}", row["instructions_per_request"],
                         "instructions", goal)


def two_threads(programs):
    points = rows(programs, "ring_two_threads", buffers=1, kicks="none", batch=32)
    points = [row for row in points if row["ns"] is not None]
    if not points:
        return
    best = min(points, key=lambda row: row["ns"])
    which = "cache lines" if best["limit_ns"] >= best["bound_ns"] else "slower side alone"
    yield figure(f"two CPUs, batch 32, best format ({best['ring']})", best["ns"], "ns",
                 TWO_THREADS_GOAL, which, best["bound_ns"], best["ratio"])


def latency(programs):
    wanted = [
        ("4 KiB round trip, spinning, data used", "spinning, data used", 1.0),
        ("4 KiB round trip, sleeping, one CPU", "sleeping, one CPU", SLEEPING_GOAL),
        ("4 KiB round trip, sleeping, two CPUs", "sleeping, two CPUs", SLEEPING_GOAL),
    ]
    for name, what, goal in wanted:
        for row in rows(programs, "block_latency", what=what):
            yield figure(name, row["ns"], "ns", goal, row["limit"], row["limit_ns"], row["ratio"])


def throughput(programs):
    load = "random 4 KiB"
    own = rows(programs, "block_peers", who="l4, memory image", load=load, depth=32)
    if not own:
        return
    value = own[0]["per_s"]
    name = "4 KiB random read, depth 32, memory image"
    nbd = [row for row in rows(programs, "block_peers", load=load, depth=32) if "NBD" in row["who"]]
    if nbd:
        best = max(nbd, key=lambda row: row["per_s"])
        yield figure(name, value, "/s", NBD_GOAL, best["who"], best["per_s"], value / best["per_s"],
                     True)
    for who, depth in (("fio io_uring, file", 32), ("fio psync, file", 1)):
        for row in rows(programs, "block_peers", who=who, load=load, depth=depth):
            yield figure(name, value, "/s", 1.0, row["who"], row["per_s"], value / row["per_s"], True)


def copy(programs):
    for row in rows(programs, "block_copy", what="l4 read, two CPUs"):
        yield figure("1 MiB sequential read, memory image", row["gb_per_s"], "GB/s", MEMCPY_GOAL,
                     "memcpy", row["gb_per_s"] / row["of_memcpy"], row["of_memcpy"], True)


def memory(programs):
    for level, goal in (("buffer level", 16), ("descriptor level", 32)):
        for row in rows(programs, "ring_sizes", private_memory=level):
            yield figure(f"private memory per entry, {level}", row["bytes"], "bytes", goal)


def flat(programs):
    """
    The dearest point against the cheapest of the same format, among those that fit the same cache:
    what is left after cache effects. The worst format counts.
    """
    for name, axis in (("queue size", "size"), ("number of queues", "queues")):
        groups = {}
        for row in rows(programs, "ring_sizes", sweep=axis):
            groups.setdefault((row["ring"], row["fits"]), []).append(row)
        spans = [(min(group, key=lambda row: row["ns"]), max(group, key=lambda row: row["ns"]))
                 for group in groups.values()]
        if spans:
            low, high = max(spans, key=lambda span: span[1]["ns"] / span[0]["ns"])
            yield figure(f"cost against {name} ({high['ring']}, {high['fits']})", high["ns"], "ns",
                         FLAT_GOAL, f"{axis} {low[axis]}, dearest {high[axis]}", low["ns"],
                         high["ns"] / low["ns"])


def vhost_user(programs):
    """Our driver at QEMU's storage daemon, waiting adaptively."""
    wanted = [
        (32, "fio NBD, storage daemon", VHOST_NBD_GOAL),
        (64, "fio NBD, storage daemon", VHOST_NBD_GOAL),
        (64, "fio io_uring, file", VHOST_FILE_GOAL),
    ]
    for depth, who, goal in wanted:
        own = rows(programs, "vhost_user", who="storage daemon", depth=depth)
        for row in rows(programs, "vhost_user", who=who, depth=depth):
            for mine in own:
                yield figure(f"vhost-user, storage daemon, 4 KiB random read, depth {depth}",
                             mine["per_s"], "/s", goal, who, row["per_s"],
                             mine["per_s"] / row["per_s"], True)


def guests(programs):
    for own in rows(programs, "guest_reads", who="l4vio"):
        for peer in rows(programs, "guest_reads", who="qemu-storage-daemon", depth=own["depth"]):
            yield figure(f"Linux guest at our device, 4 KiB random read, depth {own['depth']}",
                         own["reads_per_s"], "/s", GUEST_GOAL, "at qemu-storage-daemon",
                         peer["reads_per_s"], own["reads_per_s"] / peer["reads_per_s"], True)


def is_vhost(row):
    return row["figure"].startswith(("vhost-user", "Linux guest"))


def figures(programs):
    result = []
    for group in (instructions, two_threads, latency, throughput, copy, memory, flat, vhost_user,
                  guests):
        result.extend(group(programs))
    return result

# SPDX-License-Identifier: MIT
"""What a reader of a figure has to know: machine, compiler, flags, placement."""
import json
import os
import platform
import shlex
import shutil
import subprocess
import time


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def is_virtual():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return " hypervisor" in file.read()
    except OSError:
        return False


def compile_command(build):
    """Compiler and code-generating flags of the ring code."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    for entry in commands:
        if entry["file"].endswith("src/core/queue.c"):
            words = shlex.split(entry["command"])
            flags = [w for w in words[1:] if w.startswith(("-O", "-g", "-f", "-m", "-std"))]
            return words[0], " ".join(flags)
    return "cc", ""


def describe(build):
    compiler, flags = compile_command(build)
    version = subprocess.run([compiler, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    # "cc (Debian ...) 12.2.0": the link says which compiler cc is.
    real = os.path.basename(os.path.realpath(shutil.which(compiler) or compiler))
    cpus = sorted(os.sched_getaffinity(0))
    two = len(cpus) > 1
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": f"{cpu_name()}, {len(cpus)} CPUs{', virtual' if is_virtual() else ''}",
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": " ".join([real] + version.stdout.splitlines()[0].split()[1:]),
        "flags": flags,
        "placement": (f"driver on CPU {cpus[0]}, device on CPU {cpus[1]}; each thread is pinned"
                      if two else f"everything on CPU {cpus[0]}"),
        "load": "%.1f when it began" % os.getloadavg()[0],
    }

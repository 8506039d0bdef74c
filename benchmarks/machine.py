"""Where the numbers come from: processor, cores, versions, accelerator."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("jmix", "jax", "jaxlib", "numpyro", "numpy", "pandas", "glmm", "mixedlm", "statsmodels")
PEERS = ("gpboost", "glmm", "statsmodels")


def use_cores(count: int) -> int:
    """Bind this process and those it starts to ``count`` cores; the number that it really has."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, mine[:count])
    return min(count, len(mine))


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


@cache
def accelerator() -> str | None:
    """The name of jax's accelerator, or None on a processor; asked in another process, so as not to hold the device."""
    code = "import jax; d = jax.devices()[0]; print('' if d.platform == 'cpu' else d.device_kind)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 and done.stdout.strip() else None


@cache
def r_version(package: str) -> str | None:
    """The version of an R package, or None where R or the package is missing."""
    if shutil.which("Rscript") is None:
        return None
    blas = "basename(extSoftVersion()['BLAS'])"
    code = f"cat(R.version.string, '/ {package}', as.character(packageVersion('{package}')), '/', {blas})"
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def jags_version() -> str | None:
    """The version of JAGS behind R's rjags, or None where one of them is missing."""
    if r_version("rjags") is None:
        return None
    code = "cat(as.character(suppressPackageStartupMessages(rjags::jags.version())))"
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def reference_blas() -> str:
    """What to preload so that R uses Debian's reference BLAS, its default, where another one is installed beside it."""
    found = [sorted(Path("/usr/lib").glob(f"*/{kind}/lib{kind}.so.3")) for kind in ("blas", "lapack")]
    return ":".join(str(paths[0]) for paths in found) if all(found) else ""


def peers_versions() -> dict[str, str]:
    """The packages of the environment that JMIX_PEERS names, if there is one."""
    python = os.environ.get("JMIX_PEERS", "")
    if not python or not Path(python).exists():
        return {}
    code = (
        "import importlib.metadata as m, json\n"
        "have = {d.metadata['Name']: d.version for d in m.distributions()}\n"
        f"print(json.dumps({{k: have[k] for k in {PEERS!r} if k in have}}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def describe(cores: int) -> dict[str, Any]:
    """The header of the tables."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    lme4 = r_version("lme4")
    if lme4:
        versions["R"] = lme4
    jags = jags_version()
    if jags:
        versions["JAGS"] = jags
    tmb = r_version("glmmTMB")
    if tmb:
        versions["glmmTMB"] = tmb.split(" / ")[1].split()[-1]
    versions |= peers_versions()
    return {"processor": processor(), "cores": cores, "accelerator": accelerator(), "versions": versions}


def slug(about: dict[str, Any]) -> str:
    """The file name of the tables."""
    name = about["accelerator"] or f"{about['processor']} {about['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

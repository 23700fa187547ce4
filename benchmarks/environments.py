"""One environment per package, with pinned versions.

Each package is measured in a virtual environment of its own, so that no package decides which NumPy another one gets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEFAULT = ROOT / "environments"

SUPPORT = ("pandas>=2.1", "pyarrow>=15")
"""What the worker itself needs everywhere: it reads Parquet into pandas."""


@dataclass(frozen=True)
class Peer:
    """One way of fitting the models.

    Parameters
    ----------
    name
        Its name on the command line and in the tables.
    environment
        The name of the environment it runs in; empty for R.
    requirement
        What is installed there.
    module
        The module whose import is timed.
    """

    name: str
    environment: str
    requirement: str
    module: str


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("multilevel", "multilevel", str(ROOT.parent), "multilevel"),
        Peer("glmm", "glmm", "glmm==0.6.2", "glmm"),
        Peer("glmm-lean", "glmm", "glmm==0.6.2", "glmm"),
        Peer("lme4", "", "", ""),
        Peer("lme-python", "lme-python", "lme-python==0.2.7", "lme_python"),
        Peer("mixedlm", "mixedlm", "mixedlm==1.3.0", "mixedlm"),
        Peer("mixedlm-rs", "mixedlm-rs", "mixedlm-rs==0.2.0", "mixedlm_rs"),
        Peer("interlace-lme", "interlace-lme", "interlace-lme==0.3.2", "interlace"),
        Peer("statsmodels", "statsmodels", "statsmodels==0.15.0", "statsmodels.formula.api"),
    )
}


def python_of(folder: Path) -> Path:
    """Return where the interpreter of an environment is."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(folder: Path, requirement: str) -> Path:
    """Create an environment with one package in it and return its interpreter."""
    venv.create(folder, with_pip=True)
    python = python_of(folder)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement, *SUPPORT]
    try:
        subprocess.run(command, check=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return python


def has_multilevel(python: str) -> bool:
    """Tell whether an interpreter can import multilevel."""
    return subprocess.run([python, "-P", "-c", "import multilevel"], capture_output=True, check=False).returncode == 0


def interpreter(peer: Peer, environments: Path | None, chosen: dict[str, str]) -> str | None:
    """Return the program that runs a peer's worker, or nothing if there is none.

    Parameters
    ----------
    peer
        The peer.
    environments
        A folder with one environment per package, named like it. What is missing there is not created. Without one,
        the environments are those beside this file and are created on first use.
    chosen
        Interpreters given by hand, by name of environment.
    """
    if not peer.environment:
        return shutil.which("Rscript")
    if peer.environment in chosen:
        return chosen[peer.environment]
    existing = python_of((environments or DEFAULT) / peer.environment)
    if existing.exists():
        return str(existing)
    if peer.name == "multilevel" and has_multilevel(sys.executable):
        return sys.executable
    if environments is not None:
        return None
    print(f"creating an environment for {peer.requirement}", flush=True)
    return str(create(DEFAULT / peer.environment, peer.requirement))

"""Whose limit a computation meets."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import multilevel as ml
from multilevel.data import memory


def system(tmp_path, group, files):
    """Write what the system tells of a process and of its control groups."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(group)
    for name, text in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory.memory_room(proc, groups)


def test_the_second_version_of_control_groups(tmp_path):
    files = {
        "app/memory.max": "3000000\n",
        "app/memory.current": "1000000\n",
        "app/memory.stat": "anon 5\ninactive_file 400000\n",
        "app/inner/memory.max": "max\n",
    }
    room = system(tmp_path, "0::/app/inner\n", files)
    assert room.size == 3000000 - (1000000 - 400000)
    assert "container" in room.reason


def test_the_first_version_of_control_groups(tmp_path):
    files = {"memory/memory.limit_in_bytes": "5000000\n", "memory/memory.usage_in_bytes": "2000000\n"}
    assert system(tmp_path, "4:cpu:/x\n3:memory:/docker/not-seen-from-here\n", files).size == 3000000


def test_no_limit_leaves_the_machine(tmp_path):
    files = {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}
    room = system(tmp_path, "3:memory:/\n", files)
    assert "machine" in room.reason or "process" in room.reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of the address space are kept on Linux")
@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("y ~ 1 + (1 | many) + (1 | others)", "dense matrix"),
        ("y ~ text + (1 | g)", "belongs right of a bar"),
        ("y ~ 1 + (text | g)", "belongs right of a bar"),
    ],
)
def test_the_limit_of_the_process(formula, sentence):
    code = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        import numpy as np, multilevel as ml
        r, n = np.random.default_rng(0), 60000
        data = {{"y": r.normal(size=n), "g": r.integers(0, 30, n), "text": [str(i // 2) for i in range(n)],
                "many": r.integers(0, 14000, n), "others": r.integers(0, 13000, n)}}
        try:
            ml.lmer({formula!r}, data)
        except ml.DataError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert sentence in done.stdout
    assert "RLIMIT_AS" in done.stdout


def test_memory_that_runs_out_elsewhere_is_explained(monkeypatch):
    import multilevel.model.lmer as lmer_module

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(lmer_module, "fit_of_design", exhausted)
    y = np.arange(12.0) ** 1.5
    with pytest.raises(ml.DataError, match="Fitting the model needs more memory"):
        ml.lmer("y ~ 1 + (1 | g)", {"y": y, "g": np.arange(12) % 4})

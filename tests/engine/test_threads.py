"""Long work beside a main thread that hears Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from multilevel.engine.lapack import cholesky_in_place, inverse_from_factor, solve_lower
from multilevel.engine.threads import LONG_WORK, in_pieces, interruptible, ordered_map


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(threads):
    assert list(ordered_map(lambda i: i * i, range(50), threads)) == [i * i for i in range(50)]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_ends_the_map(threads):
    begun = []

    def work(i):
        begun.append(i)
        if i == 4:
            raise ValueError("four")
        return i

    with pytest.raises(ValueError, match="four"):
        list(ordered_map(work, range(1000), threads))
    time.sleep(0.05)
    assert len(begun) < 30


def test_long_calls_are_made_elsewhere_and_short_ones_here():
    here = threading.current_thread()
    assert interruptible(threading.current_thread, 1.0) is here
    assert interruptible(threading.current_thread, LONG_WORK) is not here
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0, LONG_WORK)


@pytest.mark.parametrize(("threads", "size"), [(1, 1.0), (1, float(LONG_WORK)), (2, 1.0)])
@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_pieces_are_the_whole(threads, size, count):
    done = np.zeros(count, dtype=int)

    def work(first, last):
        done[first:last] += 1

    in_pieces(work, count, threads, size)
    assert (done == 1).all()


def test_lapack_beside_other_threads():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(7, 7))
    S = A @ A.T + np.eye(7)
    L = S.copy()
    assert cholesky_in_place(L)
    np.testing.assert_allclose(np.tril(L), np.linalg.cholesky(S))
    np.testing.assert_allclose(np.tril(inverse_from_factor(L)), np.tril(np.linalg.inv(S)))
    right = rng.normal(size=(7, 3))
    for transpose in (False, True):
        lower = np.tril(L).T if transpose else np.tril(L)
        np.testing.assert_allclose(solve_lower(L, right, transpose=transpose), np.linalg.solve(lower, right))
    assert not cholesky_in_place(-np.eye(3))


LONG = {
    "dense": """
        data = {"y": r.normal(size=30000), "g": r.integers(0, 5000, 30000), "h": r.integers(0, 5001, 30000)}
        BEGIN
        ml.lmer("y ~ 1 + (1 | g) + (1 | h)", data)
    """,
    "refit_many": """
        n = 20000
        fit = ml.lmer("y ~ 1 + (1 | g)", {"y": r.normal(size=n), "g": r.integers(0, 500, n)})
        rows = r.normal(size=(2000, n))
        BEGIN
        while True: fit.refit_many(rows)
    """,
    "threads": """
        n = 20000
        fit = ml.lmer("y ~ 1 + (1 | g)", {"y": r.normal(size=n), "g": r.integers(0, 500, n)})
        BEGIN
        while True: fit.bootstrap(5000, threads=2)
    """,
    "simulate": """
        n = 400000
        fit = ml.lmer("y ~ 1 + (1 | g)", {"y": r.normal(size=n), "g": r.integers(0, 500, n)})
        BEGIN
        while True: fit.simulate(200, rng=1)
    """,
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("name", LONG)
def test_an_interrupt_comes_back(name):
    before, after = (textwrap.dedent(part) for part in textwrap.dedent(LONG[name]).split("BEGIN"))
    code = "import time, numpy as np, multilevel as ml\nr = np.random.default_rng(0)\n" + before
    code += "print('begun', flush=True)\ntry:\n" + textwrap.indent(after, "    ")
    code += "\nexcept KeyboardInterrupt:\n    print(time.time(), flush=True)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1.5)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        heard = float(process.stdout.readline())
        process.kill()
    # A second where nothing else runs; the tests share their processors.
    assert heard - sent < 3.0

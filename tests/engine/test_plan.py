"""Which factors are eliminated level by level, and in what order."""

from __future__ import annotations

import numpy as np
import pytest

import small_models as sm
from multilevel.engine import products
from multilevel.engine.columns import column_moments
from multilevel.engine.parameters import order_of_terms
from multilevel.engine.plan import make_plan
from multilevel.errors import DataError


def plan_of(given):
    weights = np.empty(0) if given.weights is None else given.weights
    return make_plan(given, column_moments(given.columns, weights))


def names(blocks):
    return [block.factor.name for block in blocks]


def test_one_factor():
    plan = plan_of(sm.STRUCTURES["slope"](sm.parts()))
    assert (plan.depth, plan.n_dense, names(plan.blocks)) == (1, 0, ["g"])


def test_terms_on_one_factor_are_one_block():
    plan = plan_of(sm.STRUCTURES["several terms"](sm.parts()))
    assert names(plan.blocks) == ["g"]
    assert plan.blocks[0].size == 4
    assert plan.blocks[0].terms == (0, 1, 2)
    assert plan.parameters.block_sizes == (4,)
    assert [(t.block, t.offset) for t in plan.parameters.terms] == [(0, 0), (0, 1), (0, 3)]


def test_factors_of_one_name_are_one_block():
    m = sm.parts()
    twin = sm.factor("g", m.g.codes)
    plan = plan_of(sm.design(m.columns, 2, [sm.term(m.g, 0), sm.term(twin, 1)]))
    assert names(plan.blocks) == ["g"]


def test_nested_factors_are_a_chain():
    plan = plan_of(sm.STRUCTURES["nested, three deep"](sm.parts()))
    assert (plan.depth, plan.n_dense) == (3, 0)
    assert names(plan.blocks) == ["cls:sch", "sch", "dist"]
    m = sm.parts()
    for (lower, upper), parent in plan.parents.items():
        assert lower < upper
        below, above = plan.blocks[lower].factor, plan.blocks[upper].factor
        np.testing.assert_array_equal(parent[below.codes], above.codes)
    assert set(plan.parents) == {(0, 1), (0, 2), (1, 2)}
    assert m.cls.n_levels == plan.blocks[0].n_levels


def test_the_largest_of_crossed_factors_is_eliminated():
    m = sm.parts()
    plan = plan_of(sm.STRUCTURES["crossed"](m))
    assert names(plan.blocks) == ["g", "h"]
    assert (plan.depth, plan.n_dense) == (1, m.h.n_levels)


def test_columns_count_as_well_as_levels():
    # h has fewer levels than g but more random effects.
    m = sm.parts()
    plan = plan_of(sm.design(m.columns, 2, [sm.term(m.g, 0), sm.term(m.h, 0, 1, 2)]))
    assert names(plan.blocks) == ["h", "g"]
    assert plan.n_dense == m.g.n_levels
    assert plan.term_order == (0, 1)


def test_a_chain_beside_a_crossed_factor():
    m = sm.parts()
    plan = plan_of(sm.STRUCTURES["nested and crossed"](m))
    assert names(plan.blocks) == ["cls:sch", "sch", "dist", "h"]
    assert (plan.depth, plan.n_dense) == (3, 2 * m.h.n_levels)
    assert plan.dense_offsets() == (0,)


def test_several_dense_factors():
    m = sm.parts()
    plan = plan_of(sm.STRUCTURES["crossed, slopes"](m))
    assert plan.depth == 1
    assert plan.n_dense == sum(block.size * block.n_levels for block in plan.blocks[1:])
    assert plan.dense_offsets() == (0, plan.blocks[1].size * plan.blocks[1].n_levels)


def test_theta_is_ordered_by_number_of_levels():
    m = sm.parts()
    given = sm.design(m.columns, 1, [sm.term(m.dist, 0), sm.term(m.h, 0), sm.term(m.cls, 0), sm.term(m.sch, 0)])
    plan = plan_of(given)
    levels = [given.random[t].factor.n_levels for t in plan.term_order]
    assert levels == sorted(levels, reverse=True)
    # Where terms change places, those with the same number of levels are reversed.
    assert m.h.n_levels == m.sch.n_levels
    assert plan.term_order == (2, 3, 1, 0)


def test_ties_in_the_number_of_levels_are_ordered_as_lme4_orders_them():
    # names(getME(fit, "theta")) of lme4 1.1-31 for terms with these numbers of levels
    assert order_of_terms([6, 4, 4]) == (0, 1, 2)
    assert order_of_terms([4, 4, 4]) == (0, 1, 2)
    assert order_of_terms([4, 4, 6]) == (2, 1, 0)
    assert order_of_terms([4, 6, 4, 6]) == (3, 1, 2, 0)
    assert order_of_terms([6, 4, 6]) == (2, 0, 1)
    assert order_of_terms([4, 4, 4, 6]) == (3, 2, 1, 0)
    assert order_of_terms([3]) == (0,)


def test_a_factor_that_is_another_one_renamed():
    m = sm.parts()
    twin = sm.factor("renamed", m.g.codes)
    plan = plan_of(sm.design(m.columns, 2, [sm.term(m.g, 0), sm.term(twin, 2)]))
    assert (plan.depth, plan.n_dense) == (2, 0)


def test_a_model_too_large_for_the_machine_is_refused(monkeypatch):
    monkeypatch.setattr(products, "DENSE_COPIES", 10**12)
    with pytest.raises(DataError, match=r"h \(6 levels\)"):
        sm.objective_of(sm.STRUCTURES["crossed"](sm.parts()), True)

"""Scenario 3: a contextual effect.

A patient's x1 matters, and so does the mean x1 of all patients of the same therapist. The slope between therapists is then
another than the slope within them, and a model with x1 alone cannot say so.
"""

from pathlib import Path

import multilevel as ml

PICTURES = Path("demo")

design = ml.DataDesign(
    "y ~ x1 + x2 + x1_mean + (1 | k_id)",
    levels={"k_id": 100, "N_id": 50},
    predictors={
        "x1": "normal(5, 2)",
        "x2": "binomial(1, 0.5)",
        "k_effect": "effect(k_id)",
        "x1_mean": "mean(x1) | k_id",  # the mean over each therapist's patients
    },
    fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "x1_mean": 12},
    random={"k_id": 1},
    sigma=8,
)
data, truth = design.draw(ml.RRandom(123))

# ---- One slope for both levels -------------------------------------------------------------------------------------------

without = ml.lmer("y ~ x1 + x2 + (1 | k_id)", data)
print(without.summary(), "\n")
warning = ml.check_within_between(without)
print(warning, "\n")

# ---- The cluster mean beside the patient's own value ---------------------------------------------------------------------
# In practice nobody hands us the mean: it is worked out from the data.

observed = ml.group_mean(data.drop(columns="x1_mean"), "x1", by="k_id")

with_context = ml.lmer("y ~ x1 + x2 + x1_mean + (1 | k_id)", observed)
print(with_context.summary(), "\n")
standardized = ml.standardize_parameters(with_context)
print(standardized, "\n")
print(ml.recover(truth, with_context), "\n")

# ---- The same model said otherwise: a slope within and a slope between ---------------------------------------------------
# The contextual effect is the difference of the two.

split = ml.lmer("y ~ x1_within + x1_between + x2 + (1 | k_id)", ml.demean(data, "x1", by="k_id"))
context = ml.contrast_test(split, {"x1_between": 1, "x1_within": -1})
print(ml.model_parameters(split, effects="fixed"), "\n")
print(context.round(3).to_string(), "\n")

PICTURES.mkdir(exist_ok=True)
ml.plot_comparison(without, with_context, names=("x1 alone", "x1 and its cluster mean")).save(
    PICTURES / "scenario_3.png", dpi=100, verbose=False
)
print(f"The therapists before and after are in {PICTURES / 'scenario_3.png'}")

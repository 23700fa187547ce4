"""Scenario 1: a cluster that hardly matters.

100 therapists treat 50 patients each. Two things about a patient drive the outcome, x1 and x2; who treats them hardly matters.
The data are made by hand from known parameters, described, modelled and compared with the truth.
"""

from pathlib import Path

from plotnine import theme_classic

import multilevel as ml

PICTURES = Path("demo")

# ---- Data with known truth -----------------------------------------------------------------------------------------------
# The draws come in the order listed, from R's random numbers: set.seed(123) in R gives the very same data.

design = ml.DataDesign(
    "y ~ x1 + x2 + (1 | k_id)",
    levels={"k_id": 100, "N_id": 50},  # therapists, and patients of each
    predictors={"x1": "normal(5, 2)", "x2": "binomial(1, 0.5)", "k_effect": "effect(k_id)"},
    fixed={"(Intercept)": 45, "x1": 3, "x2": 10},
    random={"k_id": 1},  # standard deviation between therapists
    sigma=8,  # and between patients of a therapist
)
data, truth = design.draw(ml.RRandom(123))
print(truth, "\n")

# ---- A look at the data --------------------------------------------------------------------------------------------------

description = ml.describe(data)
print(description, "\n")

numbers = ["x1", "x2", "k_effect", "y"]
covariances = ml.covariance(data, numbers)
correlations = ml.correlation(data, numbers)
print(covariances, "\n")
print(correlations, "\n")
print(ml.correlation(data, ["x1", "y"], by="x2"), "\n")

by_x2 = ml.group_summary(data, "x2", "y", statistics=("mean", "sd"))
print(by_x2, "\n")

# ---- How much of the outcome lies between therapists? --------------------------------------------------------------------

empty = ml.lmer("y ~ 1 + (1 | k_id)", data)
print(ml.icc(empty), "\n")

# ---- The model that made the data ----------------------------------------------------------------------------------------

fit = ml.lmer("y ~ x1 + x2 + (1 | k_id)", data)
print(fit.summary(), "\n")
print(ml.r2(fit), "\n")
print(fit.ranef()["k_id"].head(3), "\n")

recovered = ml.recover(truth, fit)
print(recovered, "\n")

# ---- Standardized: by scaling the data and fitting again, and by the helper ----------------------------------------------

scaled = ml.standardize(data, ["y", "x1", "x2"])
by_hand = ml.model_parameters(ml.lmer("y ~ x1 + x2 + (1 | k_id)", scaled), effects="fixed")
standardized = ml.standardize_parameters(fit)
print(by_hand, "\n")
print(standardized, "\n")

# ---- The therapists, one by one ------------------------------------------------------------------------------------------

PICTURES.mkdir(exist_ok=True)
caterpillar = ml.plot_model(fit, "re") + theme_classic()
caterpillar.save(PICTURES / "scenario_1.png", dpi=100, verbose=False)
print(f"The caterpillar plot is in {PICTURES / 'scenario_1.png'}")

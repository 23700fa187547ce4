"""Scenario 2: an unmeasured confounder at the cluster level.

What a therapist charges is bad for the outcome, and was forgotten. The therapists then seem to differ a lot; once the price is in
the model, they hardly do.
"""

from pathlib import Path

from plotnine import theme_classic

import multilevel as ml

PICTURES = Path("demo")

design = ml.DataDesign(
    "y ~ x1 + x2 + price + (1 | k_id)",
    levels={"k_id": 100, "N_id": 50},
    predictors={
        "x1": "normal(5, 2)",
        "x2": "binomial(1, 0.5)",
        "k_effect": "effect(k_id)",
        "price": "round(uniform(0, 5)) | k_id",  # one price for each therapist
    },
    fixed={"(Intercept)": 45, "x1": 3, "x2": 10, "price": -3},
    random={"k_id": 1},
    sigma=8,
)
data, truth = design.draw(ml.RRandom(123))

# ---- At which level does each variable vary? -----------------------------------------------------------------------------

print(ml.variable_levels(data, "k_id"), "\n")

# ---- Without the confounder: therapists seem to matter -------------------------------------------------------------------

empty = ml.lmer("y ~ 1 + (1 | k_id)", data)
without = ml.lmer("y ~ x1 + x2 + (1 | k_id)", data)
print(without.summary(), "\n")
print(ml.icc(empty), "\n")
print(ml.icc(without), "\n")

# ---- With it: they do not ------------------------------------------------------------------------------------------------

with_price = without.update(". ~ . + price")
print(with_price.summary(), "\n")
print(ml.r2(with_price), "\n")
print(ml.recover(truth, with_price), "\n")

# ---- The same therapists, before and after -------------------------------------------------------------------------------

PICTURES.mkdir(exist_ok=True)
for name, fit in {"without": without, "with": with_price}.items():
    picture = ml.plot_model(fit, "re") + theme_classic()
    picture.save(PICTURES / f"scenario_2_{name}_price.png", dpi=100, verbose=False)
comparison = ml.plot_comparison(without, with_price, names=("without price", "with price"))
comparison.save(PICTURES / "scenario_2.png", dpi=100, verbose=False)
print(f"The caterpillar plots are in {PICTURES}")

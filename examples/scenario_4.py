"""Scenario 4: random slopes and a cross-level interaction.

How much x1_c matters differs between therapists, and a training that some of them had explains most of it. Five models, each with
the one before in it.
"""

from pathlib import Path

import multilevel as ml

PICTURES = Path("demo")

# CBT against none, and Mindfulness against none; the levels are CBT, Mindfulness, No Intv.
contrasts = {"interv_label": [[1, 0], [0, 1], [0, 0]]}

design = ml.DataDesign(
    "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
    levels={"k_id": 100, "N_id": 50},
    predictors={
        "x1_c": "normal(0, 2)",
        "x2": "binomial(1, 0.5)",
        "interv": "sample(c(0, 1, 2), c(1, 1, 1) / 3) | k_id",
        "interv_label": "ifelse(interv == 0, 'No Intv', ifelse(interv == 1, 'Mindfulness', 'CBT')) | k_id",
    },
    # No training: a slope of 3; Mindfulness adds 4 to it, CBT 8.
    fixed={"(Intercept)": 45, "x1_c": 3, "x2": 10, "x1_c:interv_label1": 8, "x1_c:interv_label2": 4},
    random={"k_id": [2.5, 2]},  # standard deviations of intercepts and slopes
    sigma=8,
    contrasts=contrasts,
)
data, truth = design.draw(ml.RRandom(123))
print(truth, "\n")

# ---- Five models ---------------------------------------------------------------------------------------------------------

empty = ml.lmer("y ~ 1 + (1 | k_id)", data)
predictors = ml.lmer("y ~ x1_c + x2 + (1 | k_id)", data)
slopes = ml.lmer(
    "y ~ x1_c + x2 + (1 + x1_c | k_id)",
    data,
    control=ml.LmerControl(optimizer="bobyqa", max_evaluations=100_000),  # lme4's optimiser; the default needs no help
)
training = ml.lmer("y ~ x1_c + x2 + interv_label + (1 + x1_c | k_id)", data, contrasts=contrasts)
interaction = training.update(". ~ . + x1_c:interv_label")
models = [empty, predictors, slopes, training, interaction]

comparison = ml.anova(*models)  # refitted by maximum likelihood
print(comparison, "\n")
performance = ml.compare_performance(
    empty=empty, predictors=predictors, slopes=slopes, training=training, interaction=interaction
)
print(performance, "\n")
print(ml.icc(empty), "\n")

# ---- The last one --------------------------------------------------------------------------------------------------------

print(interaction.summary(), "\n")
wald = ml.anova(interaction, type=3, test="chisq")
f_tests = ml.anova(interaction, type=3)
print(wald, "\n")
print(f_tests, "\n")
print(ml.r2(interaction), "\n")
print(ml.recover(truth, interaction), "\n")

# Numbers are scaled; the factor and its contrasts are left alone.
standardized = ml.standardize_parameters(interaction)
print(standardized, "\n")

# ---- What the interaction looks like -------------------------------------------------------------------------------------

PICTURES.mkdir(exist_ok=True)
ml.plot_model(interaction, "pred", terms=["x1_c", "interv_label"]).save(
    PICTURES / "scenario_4_prediction.png", dpi=100, verbose=False
)
ml.plot_model(interaction, "re").save(PICTURES / "scenario_4_random_effects.png", dpi=100, verbose=False)

# ---- 10,000 therapists instead of 100: everything comes back almost exactly ----------------------------------------------

many, same_truth = design.replace(levels={"k_id": 10_000}).draw(ml.RRandom(123))
large = ml.lmer(interaction.formula, many, contrasts=contrasts)
recovered = ml.recover(same_truth, large)
print(f"{large.nobs:,} rows, {large.ngroups['k_id']:,} therapists")
print(recovered)

# Reference values for marginal means, their contrasts and trends: Rscript emmeans.R emmeans.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
source("emmeans_answers.R")

sets <- c(example_sets, scenario_sets, fixture_sets)
rats <- transform(sets$rat_pups, litter_is_large = Lsize > 12, male = as.numeric(sex == "Male"), arm = plain(Treatment))
more_sets <- list(
  rats = rats,
  rats_without_cell = droplevels(subset(rats, !(sex == "Male" & arm == "High"))),
  rats_with_gaps = transform(rats, Lsize = replace(Lsize, seq(1, 300, 13), NA))
)

models <- list(
  cake = list(set = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  machines = list(set = "machines", formula = "score ~ Machine + (1 | Worker/Machine)"),
  rats = list(set = "rats", formula = "weight ~ sex * arm + Lsize + (1 | Litter)"),
  rats_additive = list(set = "rats", formula = "weight ~ sex + arm + Lsize + (1 | Litter)"),
  rats_log = list(set = "rats", formula = "log(weight) ~ sex * arm + log(Lsize) + (1 | Litter)"),
  rats_log10 = list(set = "rats", formula = "log10(weight) ~ sex * arm + (1 | Litter)"),
  rats_log_shifted = list(set = "rats", formula = "log(weight + 1) ~ sex * arm + (1 | Litter)"),
  rats_sqrt = list(set = "rats", formula = "sqrt(weight) ~ sex * arm + Lsize + (1 | Litter)"),
  rats_truth_values = list(set = "rats", formula = "weight ~ litter_is_large * arm + male + (1 | Litter)"),
  rats_poly = list(set = "rats", formula = "weight ~ sex * poly(Lsize, 2) + arm + (1 | Litter)"),
  rats_weighted = list(set = "rats", formula = "weight ~ sex + arm + (1 | Litter)", weights = "Lsize"),
  rats_offset = list(set = "rats", formula = "weight ~ sex + arm + offset(0.1 * Lsize) + (1 | Litter)"),
  rats_offset_column = list(set = "rats", formula = "weight ~ sex + arm + (1 | Litter)", offset = "Lsize"),
  rats_with_gaps = list(set = "rats_with_gaps", formula = "weight ~ sex * arm + Lsize + (1 | Litter)"),
  rats_without_cell = list(set = "rats_without_cell", formula = "weight ~ sex * arm + Lsize + (1 | Litter)"),
  oats_factor = list(set = "oats", formula = "yield ~ factor(nitro) + Variety + (1 | Block/Variety)"),
  oats = list(set = "oats", formula = "yield ~ nitro * Variety + (1 | Block/Variety)"),
  scenario_4_model_5 = list(
    set = "scenario_4", formula = "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
    contrasts = list(interv_label = unname(interv_contrasts))
  ),
  scenario_4_three_way = list(set = "scenario_4", formula = "y ~ x1_c * interv_label * factor(x2) + (1 | k_id)")
)

asked <- list(
  cake = list(
    means("recipe", by = "temperature"), then(means("recipe", by = "temperature"), method = "pairwise"),
    then(means("recipe", by = "temperature", lmer.df = "kenward-roger"), method = "pairwise", adjust = "holm"),
    then(means("temperature"), method = "pairwise"), then(means("temperature"), method = "poly"),
    then(means(c("recipe", "temperature")), method = "trt.vs.ctrl", adjust = "sidak")
  ),
  machines = c(
    lapply(c("tukey", "holm", "bonferroni", "sidak", "none", "fdr"), function(adjust)
      then(means("Machine"), method = "pairwise", adjust = adjust)),
    list(
      means("Machine", lmer.df = "kenward-roger", level = 0.9), then(means("Machine"), method = "revpairwise"),
      then(means("Machine"), method = "trt.vs.ctrl", adjust = "none"), then(means("Machine"), method = "eff"),
      then(means("Machine", lmer.df = "kenward-roger"), method = "poly"),
      then(means("Machine", lmer.df = "asymptotic"), method = "pairwise"),
      then(means("Machine"), method = list("C against the others" = c(-0.5, -0.5, 1)))
    )
  ),
  rats = list(
    means(c("sex", "arm")), means("sex", by = "arm"), means("arm", weights = "proportional"),
    means("sex", weights = "proportional"), means("sex", weights = "outer"), means("arm", weights = "cells"),
    means(c("arm", "sex"), at = list(Lsize = c(8, 12))), means("arm", at = list(sex = "Male", Lsize = 10)),
    means(c("arm", "Lsize"), at = list(Lsize = c(8, 12))), means("1"), means("Lsize"),
    then(means("arm", by = "sex"), method = "pairwise"), then(means(c("arm", "sex")), method = "pairwise"),
    then(means("arm", by = "sex", lmer.df = "kenward-roger"), method = "pairwise", adjust = "holm"),
    then(means("arm", at = list(arm = c("High", "Control"))), method = "pairwise"),
    trends("sex", var = "Lsize")
  ),
  rats_additive = list(trends("arm", var = "Lsize"), means("arm", weights = "proportional", lmer.df = "kenward-roger")),
  rats_log = list(
    means("arm"), means("arm", type = "response"), then(means("arm"), method = "pairwise"),
    then(means("arm", type = "response"), method = "pairwise"), means("arm", at = list(Lsize = c(8, 14)), type = "response")
  ),
  rats_log10 = list(means("arm", type = "response"), then(means("arm", type = "response"), method = "pairwise")),
  rats_log_shifted = list(means("arm", type = "response")),
  rats_sqrt = list(means("arm", type = "response"), then(means("arm", type = "response"), method = "pairwise")),
  rats_truth_values = list(
    means("litter_is_large"), means("arm", by = "litter_is_large"), means("male"), means("arm", weights = "proportional"),
    then(means("litter_is_large"), method = "pairwise")
  ),
  rats_poly = list(
    means("sex"), means("sex", at = list(Lsize = c(5, 10))), trends("sex", var = "Lsize"),
    then(trends("sex", var = "Lsize"), method = "pairwise"), trends(c("sex", "Lsize"), var = "Lsize", at = list(Lsize = c(5, 10)))
  ),
  rats_weighted = list(means("arm", weights = "proportional"), means("sex"), means("sex", weights = "proportional")),
  rats_offset = list(means("arm"), then(means("arm"), method = "pairwise")),
  rats_offset_column = list(means("arm"), then(means("arm"), method = "pairwise")),
  rats_with_gaps = list(means("arm"), means("arm", weights = "proportional")),
  rats_without_cell = list(
    means(c("sex", "arm")), means("sex"), means("arm"), then(means("arm", by = "sex"), method = "pairwise"),
    then(means(c("sex", "arm")), method = "pairwise"), means("arm", weights = "cells"), trends("arm", var = "Lsize")
  ),
  oats_factor = list(means("nitro"), then(means("nitro"), method = "pairwise"), means("Variety", at = list(nitro = c(0, 0.6)))),
  oats = list(
    means("Variety", at = list(nitro = c(0, 0.6))), means("Variety", by = "nitro", at = list(nitro = c(0, 0.6))),
    trends("Variety", var = "nitro"), then(trends("Variety", var = "nitro", lmer.df = "kenward-roger"), method = "pairwise")
  ),
  scenario_4_model_5 = list(
    means("interv_label"), then(means("interv_label", weights = "proportional"), method = "pairwise"),
    means("x2"), trends("interv_label", var = "x1_c"),
    then(trends("interv_label", var = "x1_c"), method = "pairwise", adjust = "holm")
  ),
  scenario_4_three_way = list(
    means("interv_label", by = "x2", at = list(x1_c = 1)), trends("interv_label", var = "x1_c", by = "x2"),
    then(trends(c("interv_label", "x2"), var = "x1_c"), method = "pairwise")
  )
)

if (is_main("emmeans.R")) {
  arguments <- commandArgs(TRUE)
  chosen <- if (length(arguments) > 1) grep(arguments[2], names(models), value = TRUE) else names(models)
  results <- lapply(chosen, function(name) {
    model <- models[[name]]
    stored <- c(sets, more_sets)
    model$data <- stored[[model$set]]
    fit <- quietly(lmerTest::as_lmerModLmerTest(fit_case(model, TRUE)))
    out <- model[setdiff(names(model), "data")]
    out$name <- name
    out$asked <- lapply(asked[[name]], function(one) {
      found <- try(answer(fit, one))
      if (inherits(found, "try-error")) stop(name, ": ", deparse(one))
      found
    })
    cat(name, "\n", file = stderr())
    out
  })
  written <- list(versions = package_versions(c("lme4", "lmerTest", "pbkrtest", "emmeans")), models = results)
  write_json(written, arguments[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

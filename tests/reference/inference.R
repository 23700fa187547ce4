# Reference values for tests, intervals and degrees of freedom: Rscript inference.R inference.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
suppressMessages({
  library(pbkrtest)
  library(car)
  library(emmeans)
})

scenario_4_contrasts <- list(interv_label = unname(interv_contrasts))
models <- list(
  sleepstudy = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  sleepstudy_intercept = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)"),
  penicillin = list(source = "dataset", set = "Penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  pastes_nested = list(source = "dataset", set = "Pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  cake = list(source = "dataset", set = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  cake_sum = list(
    source = "dataset", set = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)",
    contrasts = list(recipe = "contr.sum", temperature = "contr.sum")
  ),
  cake_temp = list(source = "dataset", set = "cake", formula = "angle ~ recipe + temp + (1 | recipe:replicate)"),
  machines = list(source = "fixture", set = "machines", formula = "score ~ Machine + (1 | Worker/Machine)"),
  rat_pups = list(source = "fixture", set = "rat_pups", formula = "weight ~ sex * Treatment + Lsize + (1 | Litter)"),
  oats = list(source = "fixture", set = "oats", formula = "yield ~ nitro + Variety + (1 | Block/Variety)"),
  scenario_1 = list(source = "fixture", set = "scenario_1", formula = "y ~ x1 + x2 + (1 | k_id)"),
  scenario_2_with_price = list(source = "fixture", set = "scenario_2", formula = "y ~ x1 + x2 + price + (1 | k_id)"),
  scenario_4_model_3 = list(
    source = "fixture", set = "scenario_4", formula = "y ~ x1_c + x2 + (1 + x1_c | k_id)", contrasts = scenario_4_contrasts
  ),
  scenario_4_model_5 = list(
    source = "fixture", set = "scenario_4",
    formula = "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)", contrasts = scenario_4_contrasts
  )
)
# Marginal means: the factors to average over, as emmeans() takes them.
marginal <- list(
  cake = c("recipe", "temperature"), cake_temp = "recipe", machines = "Machine", rat_pups = c("sex", "Treatment"),
  oats = "Variety", scenario_4_model_5 = "interv_label"
)
profiled <- c(
  "sleepstudy", "sleepstudy_intercept", "penicillin", "pastes_nested", "cake_temp", "oats", "scenario_1",
  "scenario_2_with_price", "scenario_4_model_3"
)
# The adjusted covariance of n rows needs n by n matrices: beyond a thousand rows R takes too long.
largest_for_kenward_roger <- 1000

as_table <- function(x) {
  x <- as.data.frame(x)
  values <- lapply(seq_len(nrow(x)), function(i) I(unname(unlist(x[i, ]))))
  list(rows = I(rownames(x)), columns = I(names(x)), values = unname(values))
}
quietly <- function(expression) suppressWarnings(suppressMessages(expression))

kenward_roger <- function(fit) {
  adjusted <- vcovAdj(fit)
  labels <- names(fixef(fit))
  table <- coef(summary(fit, ddf = "Kenward-Roger"))
  list(
    vcov = unname(as.matrix(adjusted)), se = as_named(table[, "Std. Error"]), df = as_named(table[, "df"]),
    t = as_named(table[, "t value"]), p = as_named(table[, "Pr(>|t|)"]), names = I(labels)
  )
}

anova_tables <- function(fit, ddf) {
  tables <- lapply(c("I", "II", "III"), function(type) as_table(quietly(anova(fit, type = type, ddf = ddf))))
  setNames(tables, c("type1", "type2", "type3"))
}

marginal_means <- function(fit, factors, ddf) {
  lapply(setNames(factors, factors), function(one) {
    means <- quietly(emmeans(fit, as.formula(paste("~", one)), lmer.df = ddf, lmerTest.limit = 1e5, pbkrtest.limit = 1e5))
    pairs_of_means <- quietly(summary(pairs(means, adjust = "none")))
    summary_of_means <- quietly(summary(means))
    tukey <- quietly(summary(pairs(means, adjust = "tukey")))
    column <- function(table, ...) I(unname(unlist(table[, intersect(c(...), names(table))])))
    list(
      labels = I(as.character(summary_of_means[[1]])), emmean = column(summary_of_means, "emmean"),
      se = column(summary_of_means, "SE"), df = column(summary_of_means, "df"),
      lower = column(summary_of_means, "lower.CL", "asymp.LCL"), upper = column(summary_of_means, "upper.CL", "asymp.UCL"),
      pairs = list(
        labels = I(as.character(pairs_of_means$contrast)), estimate = column(pairs_of_means, "estimate"),
        se = column(pairs_of_means, "SE"), df = column(pairs_of_means, "df"), t = column(pairs_of_means, "t.ratio", "z.ratio"),
        p = column(pairs_of_means, "p.value"), p_tukey = column(tukey, "p.value")
      )
    )
  })
}

describe_inference <- function(name) {
  model <- models[[name]]
  model$data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  fit_ml <- fit_case(model, FALSE)
  out <- list(name = name, source = model$source, data = model$set, formula = model$formula)
  if (!is.null(model$contrasts)) out$contrasts <- model$contrasts
  fit <- fit_case(model, TRUE)
  tested <- quietly(lmerTest::as_lmerModLmerTest(fit))
  has_terms <- length(attr(terms(fit), "term.labels")) > 0
  small <- nobs(fit) <= largest_for_kenward_roger
  labels <- names(fixef(fit))
  out$wald_interval <- as_table(quietly(confint(fit, method = "Wald"))[labels, , drop = FALSE])
  if (name %in% profiled) {
    # The parameters profiled are standard deviations and correlations; R interpolates the profile by splines.
    profile_of_fit <- quietly(profile(fit_ml, signames = FALSE))
    out$profile_interval <- as_table(quietly(confint(profile_of_fit, level = 0.95)))
    out$profile_interval_90 <- as_table(quietly(confint(profile_of_fit, level = 0.9)))
  }
  if (small) out$kenward_roger <- kenward_roger(tested)
  if (has_terms) {
    out$anova_satterthwaite <- anova_tables(tested, "Satterthwaite")
    if (small) out$anova_kenward_roger <- anova_tables(tested, "Kenward-Roger")
    out$wald_chisq <- list(
      type2 = as_table(quietly(car::Anova(fit, type = 2))), type3 = as_table(quietly(car::Anova(fit, type = 3)))
    )
    if (small) out$wald_f <- list(
      type2 = as_table(quietly(car::Anova(fit, type = 2, test.statistic = "F"))),
      type3 = as_table(quietly(car::Anova(fit, type = 3, test.statistic = "F")))
    )
    out$drop1_satterthwaite <- as_table(quietly(drop1(tested)))
    out$drop1_chisq <- as_table(quietly(lme4:::drop1.merMod(fit_ml, test = "Chisq")))
  }
  out$ranova <- as_table(quietly(lmerTest::ranova(tested)))
  if (!is.null(marginal[[name]])) {
    out$emmeans_satterthwaite <- marginal_means(tested, marginal[[name]], "satterthwaite")
    if (small) out$emmeans_kenward_roger <- marginal_means(tested, marginal[[name]], "kenward-roger")
    out$emmeans_asymptotic <- marginal_means(tested, marginal[[name]], "asymptotic")
  }
  out
}

if (is_main("inference.R")) {
  arguments <- commandArgs(TRUE)
  chosen <- if (length(arguments) > 1) grep(arguments[2], names(models), value = TRUE) else names(models)
  results <- parallel::mclapply(chosen, function(name) {
    started <- proc.time()[["elapsed"]]
    found <- try(describe_inference(name))
    if (inherits(found, "try-error")) stop(name, ": ", found)
    cat(sprintf("%-24s %.1f s\n", name, proc.time()[["elapsed"]] - started), file = stderr())
    found
  }, mc.cores = 2, mc.preschedule = FALSE)
  failed <- vapply(results, inherits, NA, "try-error")
  if (any(failed)) stop(sum(failed), " models failed: ", unlist(results[failed]))
  versions <- package_versions(c("lme4", "lmerTest", "pbkrtest", "car", "emmeans", "nlme"))
  written <- list(versions = versions, models = results)
  write_json(written, arguments[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

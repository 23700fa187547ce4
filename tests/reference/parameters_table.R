# Fixed effects by parameters, and Wald standard errors of log standard deviations and correlations by glmmTMB:
# Rscript parameters_table.R parameters_table.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
suppressMessages({
  library(parameters)
  library(glmmTMB)
})

models <- list(
  sleepstudy = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  penicillin = list(source = "dataset", set = "Penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  pastes = list(source = "dataset", set = "Pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  orthodont = list(source = "fixture", set = "orthodont", formula = "distance ~ age * Sex + (age | Subject)"),
  crossed = list(source = "fixture", set = "subjects_items", formula = "y ~ cond + (cond | subject) + (cond | item)"),
  scenario_4 = list(source = "fixture", set = "scenario_4", formula = "y ~ x1_c + x2 + interv_label + (x1_c | k_id)")
)

# glmmTMB's parameters: half of betad is log sigma; of each term the log standard deviations, and t with rho = t / sqrt(1 + t^2).
wald_errors <- function(fit) {
  values <- fit$sdr$par.fixed
  errors <- sqrt(diag(fit$sdr$cov.fixed))
  found <- list()
  at <- which(names(values) == "theta")
  terms <- fit$modelInfo$reTrms$cond$cnms
  groups <- names(terms)
  for (i in seq_along(terms)) {
    k <- length(terms[[i]])
    own <- at[seq_len(k * (k + 1) / 2)]
    at <- at[-seq_len(k * (k + 1) / 2)]
    for (j in seq_len(k)) found[[paste0("sd_", terms[[i]][j], "|", groups[i])]] <- c(exp(values[own[j]]), exp(values[own[j]]) * errors[own[j]])
    if (k == 2) {
      t <- values[own[3]]
      found[[paste0("cor_", terms[[i]][2], ".", terms[[i]][1], "|", groups[i])]] <-
        c(t / sqrt(1 + t^2), errors[own[3]] / (1 + t^2)^1.5)
    }
  }
  sigma <- exp(values[names(values) == "betad"] / 2)
  found$sigma <- c(sigma, sigma * errors[names(values) == "betad"] / 2)
  lapply(found, function(pair) list(estimate = unname(pair[1]), std_error = unname(pair[2])))
}

describe_parameters <- function(name, REML) {
  model <- models[[name]]
  model$data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  fit <- fit_case(model, REML)
  fixed <- function(kind) {
    found <- suppressMessages(as.data.frame(model_parameters(fit, effects = "fixed", ci_method = kind)))
    c(list(rows = I(found$Parameter)), as.list(lapply(found[c("Coefficient", "SE", "CI_low", "CI_high", "t", "df_error", "p")], I)))
  }
  control <- glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000, rel.tol = 1e-14))
  other <- glmmTMB(as.formula(model$formula), data = model$data, REML = REML, control = control)
  list(
    name = name, source = model$source, data = model$set, formula = model$formula, reml = REML, df_residual = df.residual(fit),
    residual = fixed("residual"), satterthwaite = if (REML) fixed("satterthwaite"), random = wald_errors(other)
  )
}

if (is_main("parameters_table.R")) {
  results <- c(lapply(names(models), describe_parameters, TRUE), lapply(c("sleepstudy", "penicillin", "pastes"), describe_parameters, FALSE))
  write_json(
    list(versions = package_versions(c("lme4", "parameters", "glmmTMB")), models = results), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

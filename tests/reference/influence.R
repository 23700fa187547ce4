# Leverage, studentised residuals, Cook's distances and influence by lme4: Rscript influence.R influence.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")

models <- list(
  sleepstudy = list(
    source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", groups = "Subject", cases = TRUE
  ),
  weighted = list(
    source = "fixture", set = "sleepstudy_extra", formula = "Reaction ~ Days + (1 | Subject)", weights = "w", groups = "Subject"
  ),
  rat_pups = list(
    source = "fixture", set = "rat_pups", formula = "weight ~ sex * Treatment + Lsize + (1 | Litter)", groups = "Litter"
  ),
  pastes = list(source = "dataset", set = "Pastes", formula = "strength ~ 1 + (1 | batch/cask)", groups = "batch"),
  penicillin = list(
    source = "dataset", set = "Penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)", groups = "sample"
  ),
  classes = list(
    source = "fixture", set = "school_class_pupil", formula = "y ~ x + occasion + (x | school) + (1 | rater)", groups = "rater"
  )
)

describe_influence <- function(name) {
  model <- models[[name]]
  model$data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  fit <- fit_case(model, TRUE)
  found <- c(
    list(name = name, source = model$source, data = model$set, formula = model$formula, group = model$groups),
    if (!is.null(model$weights)) list(weights = model$weights),
    list(
      coefficients = I(names(fixef(fit))), hatvalues = unname(hatvalues(fit)), rstudent = unname(rstudent(fit)),
      cooks_distance = unname(cooks.distance(fit))
    )
  )
  one <- function(groups) {
    deleted <- if (groups == ".case") influence(fit) else influence(fit, groups)
    # lme4 1.1-31 stops at dfbetas() of a model with one fixed effect.
    errors <- sapply(deleted[[6]], function(V) sqrt(diag(as.matrix(V))))
    errors <- matrix(errors, nrow = length(deleted$deleted), byrow = TRUE)
    list(
      deleted = as.character(deleted$deleted), dfbeta = unname(dfbeta(deleted)), dfbetas = unname(dfbeta(deleted) / errors),
      cooks_distance = unname(cooks.distance(deleted)), sigma = unname(sqrt(deleted[[4]][, "sigma^2"]))
    )
  }
  found$by_group <- one(model$groups)
  if (isTRUE(model$cases)) found$by_case <- one(".case")
  found
}

if (is_main("influence.R")) {
  results <- lapply(names(models), describe_influence)
  write_json(
    list(versions = package_versions("lme4"), models = results), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

# Cluster-robust covariances and tests by clubSandwich: Rscript robust.R robust.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
suppressMessages(library(clubSandwich))

models <- list(
  sleepstudy = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  pastes = list(source = "dataset", set = "Pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  rat_pups = list(source = "fixture", set = "rat_pups", formula = "weight ~ sex * Treatment + Lsize + (1 | Litter)"),
  oats = list(source = "fixture", set = "oats", formula = "yield ~ nitro + Variety + (1 | Block/Variety)"),
  orthodont = list(source = "fixture", set = "orthodont", formula = "distance ~ age * Sex + (age | Subject)"),
  classes = list(
    source = "fixture", set = "school_class_pupil", formula = "y ~ x + occasion + (x | school) + (1 | school:class)"
  )
)
kinds <- c("CR0", "CR1", "CR1S", "CR2")

describe_robust <- function(name) {
  model <- models[[name]]
  model$data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  fit <- fit_case(model, TRUE)
  p <- length(fixef(fit))
  tests <- lapply(setNames(kinds, kinds), function(kind) {
    V <- vcovCR(fit, type = kind)
    single <- as.data.frame(coef_test(fit, vcov = V, test = "Satterthwaite"))
    found <- list(vcov = unname(as.matrix(V)), df = I(single[[if ("df_Satt" %in% names(single)) "df_Satt" else "df"]]))
    if (p > 1) {
      joint <- as.data.frame(Wald_test(fit, constraints = constrain_zero(2:p), vcov = V, test = "HTZ"))
      found$joint <- list(statistic = joint$Fstat, df_numerator = joint$df_num, df_denominator = joint$df_denom, p = joint$p_val)
    }
    found
  })
  c(
    list(name = name, source = model$source, data = model$set, formula = model$formula),
    list(coefficients = I(names(fixef(fit))), tests = tests)
  )
}

if (is_main("robust.R")) {
  results <- lapply(names(models), describe_robust)
  write_json(
    list(versions = package_versions(c("lme4", "clubSandwich")), models = results), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

# Standardized coefficients by parameters (effectsize) and datawizard: Rscript standardize.R standardize.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
suppressMessages(library(parameters))

models <- list(
  scenario_1 = list(source = "fixture", set = "scenario_1", formula = "y ~ x1 + x2 + (1 | k_id)"),
  scenario_2 = list(source = "fixture", set = "scenario_2", formula = "y ~ x1 + x2 + price + (1 | k_id)"),
  scenario_3 = list(source = "fixture", set = "scenario_3", formula = "y ~ x1 + x2 + x1_mean + (1 | k_id)"),
  scenario_4 = list(
    source = "fixture", set = "scenario_4", formula = "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)",
    contrasts = list(interv_label = interv_contrasts), methods = "refit"
  ),
  sleepstudy = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  sleepstudy_ml = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)", ml = TRUE),
  weighted = list(
    source = "fixture", set = "sleepstudy_extra", formula = "Reaction ~ Days + (Days | Subject)", weights = "w_fraction",
    methods = c("refit", "posthoc", "smart", "basic")
  ),
  orthodont = list(source = "fixture", set = "orthodont", formula = "distance ~ age * Sex + (age | Subject)"),
  scottish = list(
    source = "fixture", set = "scottish_schools", formula = "attain ~ verbal + sex + social + (1 | primary) + (1 | second)",
    methods = c("refit", "posthoc", "smart", "basic")
  ),
  exam = list(
    source = "fixture", set = "exam", formula = "normexam ~ standLRT + sex + schavg + type + (standLRT | school)"
  ),
  cake = list(
    source = "dataset", set = "cake", formula = "angle ~ temp + I(temp^2) + recipe + (1 | recipe:replicate)",
    methods = c("refit", "basic")
  ),
  logarithm = list(
    source = "dataset", set = "sleepstudy", formula = "log(Reaction) ~ sqrt(Days) + (1 | Subject)", methods = c("refit", "basic")
  )
)
all_methods <- c("refit", "posthoc", "smart", "basic", "pseudo")
variants <- list(
  plain = list(), robust = list(robust = TRUE), two_sd = list(two_sd = TRUE), no_response = list(include_response = FALSE)
)

describe_standardized <- function(name) {
  model <- models[[name]]
  model$data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  fit <- fit_case(model, is.null(model$ml))
  methods <- if (is.null(model$methods)) all_methods else model$methods
  tables <- list()
  for (method in methods) for (variant in names(variants)) {
    if (method == "pseudo" && variant == "robust") next
    for (kind in c("residual", "satterthwaite")) {
      if (kind == "satterthwaite" && (method != "basic" || variant != "plain")) next
      arguments <- c(list(fit, method = method, verbose = FALSE, ci_method = kind), variants[[variant]])
      found <- suppressMessages(suppressWarnings(do.call(standardize_parameters, arguments)))
      tables[[length(tables) + 1]] <- list(
        method = method, variant = variant, ddf = kind, estimate = I(found$Std_Coefficient),
        std_error = I(as.numeric(attr(found, "standard_error"))), conf_low = I(found$CI_low), conf_high = I(found$CI_high)
      )
    }
  }
  again <- suppressMessages(suppressWarnings(datawizard::standardize(fit, verbose = FALSE)))
  c(
    list(name = name, source = model$source, data = model$set, formula = model$formula, reml = is.null(model$ml)),
    if (!is.null(model$weights)) list(weights = model$weights),
    if (!is.null(model$contrasts)) list(contrasts = lapply(model$contrasts, unname)),
    list(
      coefficients = I(names(fixef(fit))), df_residual = df.residual(fit),
      refitted = list(theta = I(unname(getME(again, "theta"))), sigma = sigma(again), criterion = REMLcrit_or_deviance(again)),
      tables = tables
    )
  )
}

REMLcrit_or_deviance <- function(fit) unname(fit@devcomp$cmp[[if (isREML(fit)) "REML" else "dev"]])

if (is_main("standardize.R")) {
  results <- lapply(names(models), describe_standardized)
  write_json(
    list(versions = package_versions(c("lme4", "parameters", "effectsize", "datawizard")), models = results), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

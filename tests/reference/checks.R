# What R's packages say about fits that the checks are made for: Rscript checks.R checks.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")
suppressMessages({
  library(car)
  library(performance)
})

models <- list(
  sleepstudy = list(source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", by = "Subject"),
  curved = list(
    source = "dataset", set = "sleepstudy", formula = "Reaction ~ Days + I(Days^2) + (Days | Subject)", python = "Reaction ~ Days + I(Days**2) + (Days | Subject)",
    by = "Subject"
  ),
  rat_pups = list(
    source = "fixture", set = "rat_pups", formula = "weight ~ sex * Treatment + Lsize + (1 | Litter)", by = "Treatment"
  ),
  penicillin = list(
    source = "dataset", set = "Penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)", by = "plate"
  ),
  scenario_1 = list(source = "fixture", set = "scenario_1", formula = "y ~ x1 + x2 + (1 | k_id)", by = "k_id"),
  scenario_2 = list(source = "fixture", set = "scenario_2", formula = "y ~ x1 + x2 + (1 | k_id)", by = "k_id"),
  scenario_3 = list(source = "fixture", set = "scenario_3", formula = "y ~ x1 + x2 + (1 | k_id)", by = "k_id")
)

describe_checks <- function(name) {
  model <- models[[name]]
  data <- c(example_sets, scenario_sets, fixture_sets)[[model$set]]
  model$data <- data
  fit <- fit_case(model, TRUE)
  residual <- residuals(fit)
  square <- residual^2 / mean(residual^2)
  against <- lm(square ~ fitted(fit))
  explained <- sum((fitted(against) - 1)^2)
  outliers <- suppressWarnings(check_outliers(fit))
  found <- list(
    name = name, source = model$source, data = model$set, formula = if (is.null(model$python)) model$formula else model$python,
    by = model$by, shapiro = shapiro.test(rstudent(fit))$p.value, normality = as.numeric(check_normality(fit)),
    random_normality = I(sapply(unname(unlist(lapply(ranef(fit), as.list), recursive = FALSE)), function(b) shapiro.test(b)$p.value)),
    score = explained / 2, studentised = nobs(fit) * summary(against)$r.squared,
    levene = leveneTest(residual, data[[model$by]], center = median)[1, "F value"],
    threshold = attr(outliers, "threshold")$cook, outliers = I(which(as.logical(outliers)) - 1),
    durbin_watson = durbinWatsonTest(as.numeric(residual))
  )
  if (length(fixef(fit)) > 2) {
    factors <- vif(fit)
    if (is.matrix(factors)) {
      found$vif <- list(terms = rownames(factors), vif = unname(factors[, 1]), df = unname(factors[, 2]))
    } else {
      found$vif <- list(terms = names(factors), vif = unname(factors), df = rep(1, length(factors)))
    }
  }
  if (startsWith(name, "scenario")) {
    data$m1 <- ave(data$x1, data$k_id)
    data$m2 <- ave(data$x2, data$k_id)
    model$data <- data
    model$formula <- "y ~ x1 + x2 + m1 + m2 + (1 | k_id)"
    larger <- lmerTest::as_lmerModLmerTest(fit_case(model, TRUE))
    joint <- contest(larger, rbind(c(0, 0, 0, 1, 0), c(0, 0, 0, 0, 1)))
    single <- coef(summary(larger))[4:5, ]
    means <- data[!duplicated(data$k_id), c("m1", "m2")]
    modes <- ranef(fit)$k_id[as.character(data$k_id[!duplicated(data$k_id)]), 1]
    found$means <- list(
      within = unname(fixef(larger)[2:3]), difference = unname(single[, "Estimate"]), std_error = unname(single[, "Std. Error"]),
      df = unname(single[, "df"]), p_value = unname(single[, "Pr(>|t|)"]), statistic = joint[["F value"]],
      df_denominator = joint[["DenDF"]], joint_p_value = joint[["Pr(>F)"]],
      correlation = unname(sapply(means, function(m) cor(m, modes))),
      correlation_p_value = unname(sapply(means, function(m) cor.test(m, modes)$p.value))
    )
  }
  found
}

if (is_main("checks.R")) {
  results <- lapply(names(models), describe_checks)
  write_json(
    list(versions = package_versions(c("lme4", "lmerTest", "car", "performance")), models = results), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

# Reference values for analysis of variance in designs that are not simple: Rscript anova.R anova.json
#
# Unbalanced cells, empty cells, columns that others determine, no intercept, numeric variables in interactions, contrasts of all kinds.

source("tables.R")
source("fitting.R")
suppressMessages(library(car))

cells <- function() {
  set.seed(20240611)
  n <- 240
  d <- data.frame(
    g = factor(sample(1:20, n, TRUE)), h = factor(sample(letters[1:8], n, TRUE)),
    a = factor(sample(c("p", "q", "r"), n, TRUE, c(.5, .3, .2))), b = factor(sample(c("u", "v"), n, TRUE, c(.65, .35))),
    c = factor(sample(c("k", "l", "m"), n, TRUE, c(.3, .5, .2))), x = round(rnorm(n, 3), 3), z = round(rnorm(n), 3)
  )
  d$a2 <- d$a
  d$w <- 2 * d$x
  d$v <- 1 + seq_len(n) %% 3
  d$y <- round(
    d$x * (1 + 0.2 * as.integer(d$a)) + 0.5 * (d$a == "q" & d$b == "v") + rnorm(20)[d$g] + rnorm(20, 0, .6)[d$g] * d$x +
      rnorm(8, 0, .7)[d$h] + rnorm(n), 3
  )
  d
}

whole <- cells()
sets <- list(whole = whole, gaps = droplevels(subset(whole, !(a == "r" & b == "v"))))
user <- matrix(c(1, 0, -2, 0.5, 1, 0), 3, 2)
models <- list(
  three_way = list(set = "whole", formula = "y ~ a * b * c + (1 | g)"),
  three_way_mixed = list(
    set = "whole", formula = "y ~ a * b * c + (1 | g)", contrasts = list(a = "contr.helmert", b = "contr.sum", c = "contr.poly")
  ),
  user_contrasts = list(set = "whole", formula = "y ~ a * x + b + (1 | g)", contrasts = list(a = user)),
  slopes = list(set = "whole", formula = "y ~ a * x + b * c + z + (1 | g) + (1 | h)"),
  slopes_sum = list(
    set = "whole", formula = "y ~ a * x + b * c + z + (1 | g) + (1 | h)", contrasts = list(a = "contr.sum", c = "contr.sum")
  ),
  two_numeric = list(set = "whole", formula = "y ~ x * z * a + (1 | g)"),
  polynomial = list(set = "whole", formula = "y ~ poly(x, 2) * a + (1 | g)"),
  gaps = list(set = "gaps", formula = "y ~ a * b + c + (1 | g)"),
  gaps_helmert = list(set = "gaps", formula = "y ~ a * b + c + (1 | g)", contrasts = list(a = "contr.helmert", b = "contr.sum")),
  gaps_only_interaction = list(set = "gaps", formula = "y ~ a:b + (1 | g)"),
  scaled = list(set = "whole", formula = "y ~ a * scale(x) + (1 | g)"),
  weighted = list(set = "whole", formula = "y ~ a * b + x + (1 | g)", weights = "v"),
  no_intercept = list(set = "whole", formula = "y ~ 0 + a + b + (1 | g)"),
  no_intercept_numeric = list(set = "whole", formula = "y ~ 0 + x + a * b + (1 | g)"),
  no_main_effects = list(set = "whole", formula = "y ~ a:b + x + (1 | g)"),
  nested_slope = list(set = "whole", formula = "y ~ a + a:x + (1 | g)"),
  aliased = list(set = "whole", formula = "y ~ a * b + x + w + z + (1 | g)"),
  aliased_factor = list(set = "whole", formula = "y ~ a + a2 + x + (1 | g)"),
  transformed = list(set = "whole", formula = "y ~ log(x + 5) * b + I(z^2) + (1 + x | g)")
)
random <- c(
  "y ~ x + (x + z | g)", "y ~ x + (0 + x | g) + (1 | h)", "y ~ x + (x || g)", "y ~ x + (0 + b | g)", "y ~ x + (b | g)",
  "y ~ x + (0 + x + z | g)", "y ~ x + (1 | g) + (1 | h) + offset(z)", "y ~ x + (1 | h/g)", "y ~ x + (0 + b + x | g)",
  "y ~ x + (b:x | g)", "y ~ x + (b * x | g)"
)

as_table <- function(x) {
  x <- as.data.frame(x)
  values <- lapply(seq_len(nrow(x)), function(i) I(unname(unlist(x[i, ]))))
  list(rows = I(rownames(x)), columns = I(names(x)), values = unname(values))
}
quietly <- function(expression) suppressWarnings(suppressMessages(expression))

describe_anova <- function(name) {
  model <- models[[name]]
  model$data <- sets[[model$set]]
  fit_ml <- fit_case(model, FALSE)
  fit <- fit_case(model, TRUE)
  tested <- quietly(lmerTest::as_lmerModLmerTest(fit))
  out <- list(name = name, set = model$set, formula = model$formula)
  if (!is.null(model$weights)) out$weights <- model$weights
  if (!is.null(model$contrasts)) out$contrasts <- model$contrasts
  for (type in c("I", "II", "III")) {
    out$satterthwaite[[type]] <- as_table(quietly(anova(tested, type = type)))
    out$kenward_roger[[type]] <- as_table(quietly(anova(tested, type = type, ddf = "Kenward-Roger")))
  }
  for (type in c("II", "III")) out$chisq[[type]] <- as_table(quietly(car::Anova(fit, type = type)))
  out$drop1 <- as_table(quietly(drop1(tested)))
  out$drop1_chisq <- as_table(quietly(lme4:::drop1.merMod(fit_ml, test = "Chisq")))
  out
}

describe_random <- function(formula) {
  fit <- fit_case(list(data = whole, formula = formula), TRUE)
  out <- list(formula = formula)
  out$reduced <- as_table(quietly(lmerTest::ranova(lmerTest::as_lmerModLmerTest(fit))))
  out$left_out <- as_table(quietly(lmerTest::ranova(lmerTest::as_lmerModLmerTest(fit), reduce.terms = FALSE)))
  fit_ml <- fit_case(list(data = whole, formula = formula), FALSE)
  out$by_ml <- as_table(quietly(lmerTest::ranova(lmerTest::as_lmerModLmerTest(fit_ml))))
  out
}

describe_comparison <- function(formulas, REML) {
  fits <- lapply(formulas, function(formula) fit_case(list(data = whole, formula = formula), REML))
  names(fits) <- paste("model", seq_along(fits))
  table <- do.call(anova, c(unname(fits), list(refit = FALSE, model.names = names(fits))))
  list(formulas = I(formulas), reml = REML, table = as_table(table))
}

if (is_main("anova.R")) {
  compared <- c("y ~ a * x + (1 | g)", "y ~ x + (1 | g)", "y ~ x + a + (1 | g)", "y ~ a * x + (x | g)")
  written <- list(
    versions = package_versions(c("lme4", "lmerTest", "pbkrtest", "car")),
    sets = lapply(sets, function(d) lapply(d, function(column) if (is.factor(column)) as.character(column) else column)),
    models = lapply(names(models), describe_anova), random = lapply(random, describe_random),
    comparisons = list(describe_comparison(compared, FALSE), describe_comparison(compared[c(4, 1)], TRUE))
  )
  write_json(written, commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

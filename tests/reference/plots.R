# What pictures show, by lme4, stats and lattice: Rscript plots.R plots.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")

sets <- c(example_sets, scenario_sets, fixture_sets)

# Coefficients of each level by least squares of its own rows, without pooling.
own_lines <- function(formula, set, group, weights = NULL) {
  data <- sets[[set]]
  parts <- split(data, data[[group]], drop = TRUE)
  rows <- lapply(parts, function(part) {
    x <- model.matrix(formula, part)
    w <- if (is.null(weights)) rep(1, nrow(part)) else part[[weights]]
    unname(lm.wfit(x, model.response(model.frame(formula, part)), w)$coefficients)
  })
  list(
    formula = deparse(formula), data = set, group = group, weights = weights, levels = I(names(parts)),
    coefficients = do.call(rbind, rows)
  )
}

sleep <- fit_case(list(data = sets$sleepstudy, formula = "Reaction ~ Days + (Days | Subject)"), TRUE)
modes <- as.data.frame(ranef(sleep, condVar = TRUE))
curve <- lowess(fitted(sleep), resid(sleep))
quartiles <- tapply(resid(sleep), sets$sleepstudy$Subject, quantile)

# The ellipse by the χ² distribution, at the angles that the picture has.
psi <- VarCorr(sleep)$Subject[1:2, 1:2]
radius <- sqrt(qchisq(0.95, 2))

if (is_main("plots.R")) {
  write_json(
    list(
      versions = package_versions("lme4"),
      own_lines = list(
        own_lines(Reaction ~ Days, "sleepstudy", "Subject"),
        own_lines(Reaction ~ Days, "sleepstudy_extra", "Subject", "w"),
        own_lines(distance ~ I(age - 11), "orthodont", "Subject")
      ),
      caterpillar = list(
        term = as.character(modes$term), grp = as.character(modes$grp), condval = modes$condval, condsd = modes$condsd
      ),
      lowess = list(x = unname(curve$x), y = unname(curve$y)),
      quartiles = do.call(rbind, lapply(quartiles, unname)),
      ellipse_radius = radius, covariance = unname(psi)
    ),
    commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

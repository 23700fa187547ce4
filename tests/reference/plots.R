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

# Predictions of the fixed effects of a grid: factors at their first level, and averaged over. Normal intervals, as ggpredict's.
cake <- sets$cake
cake_fit <- fit_case(list(data = cake, formula = "angle ~ recipe * temp + (1 | recipe:replicate)"), TRUE)
grid <- expand.grid(temp = c(175, 200, 225), recipe = levels(cake$recipe))
x_grid <- model.matrix(~ recipe * temp, grid)
predicted <- cbind(grid, estimate = drop(x_grid %*% fixef(cake_fit)), std_error = sqrt(diag(x_grid %*% as.matrix(vcov(cake_fit)) %*% t(x_grid))))
averaged <- as.data.frame(emmeans::emmeans(cake_fit, ~temp, at = list(temp = c(175, 200, 225)), lmer.df = "satterthwaite"))
trends <- as.data.frame(emmeans::emtrends(cake_fit, ~recipe, var = "temp", lmer.df = "satterthwaite"))
cell_means <- as.data.frame(emmeans::emmeans(cake_fit, ~recipe | temp, at = list(temp = c(175, 225)), lmer.df = "satterthwaite"))
differences <- as.data.frame(confint(pairs(emmeans::emmeans(cake_fit, ~recipe, lmer.df = "satterthwaite"))))

# Johnson and Neyman's bounds with normal intervals: the roots of (b1 + b3 m)² = z² var(b1 + b3 m).
scenario <- sets$scenario_4
moderated <- fit_case(list(data = scenario, formula = "y ~ x1_c * x2 + (1 | k_id)"), TRUE)
b <- fixef(moderated)
v <- as.matrix(vcov(moderated))
z2 <- qnorm(0.975)^2
pair <- c("x1_c", "x1_c:x2")
bounds <- sort(Re(polyroot(c(
  b[[pair[1]]]^2 - z2 * v[pair[1], pair[1]],
  2 * (b[[pair[1]]] * b[[pair[2]]] - z2 * v[pair[1], pair[2]]),
  b[[pair[2]]]^2 - z2 * v[pair[2], pair[2]]
))))

# Profiles: the spline of ζ between lme4's points, and the intervals.
dye <- fit_case(list(data = sets$Dyestuff, formula = "Yield ~ 1 + (1 | Batch)"), FALSE)
profiled <- profile(dye, signames = FALSE)
at <- list("sd_(Intercept)|Batch" = c(20, 35, 60, 90), sigma = c(42, 48, 55, 65), "(Intercept)" = c(1490, 1515, 1540, 1570))
zeta <- lapply(names(at), function(name) unclass(predict(attr(profiled, "forward")[[name]], at[[name]]))$y)
profile_ends <- lapply(c(0.5, 0.9, 0.95), function(level) unname(confint(profiled, level = level)))

# The share of variance, collinearity, influence and normal quantiles.
explained <- performance::r2_nakagawa(sleep)
three <- fit_case(list(data = scenario, formula = "y ~ x1_c * interv_label + x2 + (1 | k_id)"), TRUE)
vifs <- as.data.frame(performance::check_collinearity(three))
standard <- sort(unname(resid(sleep) / (sigma(sleep) * sqrt(1 - hatvalues(sleep)))))
quantiles <- qqnorm(standard, plot.it = FALSE)

# Differences between clusters without and with a predictor of them.
orthodont <- sets$orthodont
before <- fit_case(list(data = orthodont, formula = "distance ~ age + (1 | Subject)"), TRUE)
after <- fit_case(list(data = orthodont, formula = "distance ~ age + Sex + (1 | Subject)"), TRUE)
both <- lapply(list(before, after), function(m) {
  own <- as.data.frame(ranef(m, condVar = TRUE))
  list(grp = as.character(own$grp), condval = own$condval, condsd = own$condsd, sd = attr(VarCorr(m)$Subject, "stddev")[[1]])
})

if (is_main("plots.R")) {
  write_json(
    list(
      versions = package_versions(c("lme4", "emmeans", "performance")),
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
      ellipse_radius = radius, covariance = unname(psi),
      predicted = as.list(predicted),
      averaged = as.list(averaged[c("temp", "emmean", "SE", "df", "lower.CL", "upper.CL")]),
      trends = as.list(trends[c("recipe", "temp.trend", "SE", "df", "lower.CL", "upper.CL")]),
      cell_means = as.list(cell_means[c("recipe", "temp", "emmean", "lower.CL", "upper.CL")]),
      differences = as.list(differences[c("contrast", "estimate", "lower.CL", "upper.CL")]),
      bounds = bounds,
      zeta = list(parameter = names(at), value = unname(at), zeta = zeta),
      profile_ends = list(level = c(0.5, 0.9, 0.95), ends = profile_ends, parameter = rownames(confint(profiled))),
      explained = list(conditional = explained$R2_conditional[[1]], marginal = explained$R2_marginal[[1]]),
      collinearity = list(term = vifs$Term, vif = vifs$VIF),
      influence = list(cooks_distance = unname(cooks.distance(sleep)), leverage = unname(hatvalues(sleep))),
      quantiles = list(theoretical = qnorm((seq_along(standard) - 0.5) / length(standard)), sample = unname(quantiles$y)),
      comparison = both
    ),
    commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

# Variance decompositions, ICC, R², indices and conditional AIC: Rscript quality_performance.R quality_performance.json
#
# performance, insight and cAIC4 where they have the quantity; the published formulas on lme4's matrices otherwise.

source("lmm_fits.R")
suppressMessages({
  library(performance)
  library(insight)
  library(cAIC4)
  library(pbkrtest)
})

chosen <- c(
  "sleepstudy", "sleepstudy_uncorrelated", "sleepstudy_intercept", "sleepstudy_slope", "dyestuff2", "pastes_nested", "penicillin",
  "cake_recipe_slopes", "cake_recipe_cells", "machines", "weights", "offset", "weights_and_offset", "subjects_items",
  "nested_vector", "nested_crossed", "perfect_correlation", "zero_slope", "exam", "scottish_schools", "oats", "orthodont",
  grep("^scenario", vapply(cases, `[[`, "", "name"), value = TRUE)
)
by_name <- setNames(cases, vapply(cases, `[[`, "", "name"))

number <- function(x) if (is.null(x) || length(x) == 0) NA else as.numeric(x)[1]

# Mean variance of the random effects over the rows, from lme4's own Z and Λ.
mean_random <- function(fit) sigma(fit)^2 * mean(Matrix::rowSums((getME(fit, "Z") %*% Matrix::t(getME(fit, "Lambdat")))^2))

describe_variances <- function(fit) {
  parts <- get_variance(fit, tolerance = 0, verbose = FALSE)
  adjusted <- icc(fit, tolerance = 0)
  strict <- suppressWarnings(suppressMessages(icc(fit)))
  r2 <- r2_nakagawa(fit, tolerance = 0)
  indices <- as.data.frame(model_performance(fit, verbose = FALSE))
  list(
    fixed = number(parts$var.fixed), random = number(parts$var.random), residual = number(parts$var.residual),
    mean_random = mean_random(fit),
    adjusted = number(adjusted$ICC_adjusted), unadjusted = number(adjusted$ICC_unadjusted),
    is_na_in_performance = length(strict) == 1 && is.na(strict[1]),
    conditional = number(r2$R2_conditional), marginal = number(r2$R2_marginal), xu = number(r2_xu(fit)),
    aic = indices$AIC, aicc = indices$AICc, bic = indices$BIC, rmse = indices$RMSE, sigma = indices$Sigma,
    aic_ml_at_reml = number(performance_aic(fit, estimator = "ML"))
  )
}

# ---- by level ------------------------------------------------------------------------------------------

intercepts <- list(
  sleepstudy_intercept = "Reaction ~ 1 + (1 | Subject)", oats = "yield ~ 1 + (1 | Block/Variety)",
  scenario_2_with_price = "y ~ 1 + (1 | k_id)", scottish_schools = "attain ~ 1 + (1 | primary) + (1 | second)"
)

group_variances <- function(fit) {
  found <- as.data.frame(VarCorr(fit))
  found <- found[found$grp != "Residual", ]
  setNames(as.list(found$vcov), found$grp)
}

describe_levels <- function(name) {
  case <- by_name[[name]]
  null <- fit_case(modifyList(case, list(formula = intercepts[[name]])), TRUE)
  fit <- fit_case(case, TRUE)
  own <- group_variances(fit)
  without <- group_variances(null)[names(own)]
  found <- list(level_1 = 1 - sigma(fit)^2 / sigma(null)^2)
  found <- c(found, Map(function(a, b) 1 - a / b, own, without))
  total <- function(f) sum(unlist(group_variances(f))) + sigma(f)^2
  snijders <- list(level_1 = 1 - total(fit) / total(null))
  if (length(own) == 1) {
    size <- 1 / mean(1 / table(getME(fit, "flist")[[1]]))
    between <- function(f) sum(unlist(group_variances(f))) + sigma(f)^2 / size
    snijders$level_2 <- 1 - between(fit) / between(null)
  }
  found <- list(reduction = found, snijders_bosker = snijders)
  # performance stops with an error where there are several grouping factors.
  if (length(own) == 1) {
    theirs <- suppressMessages(suppressWarnings(r2_nakagawa(fit, by_group = TRUE)))
    found$performance <- setNames(as.list(theirs$R2), theirs$Level)
  }
  found
}

# ---- Rights & Sterba -----------------------------------------------------------------------------------
# The formulas of r2mlm: coefficients and covariances of the predictors; with all predictors of level 1 centred within clusters.

within <- function(x, g) x - ave(x, g)

centred_frame <- function() {
  d <- scenario_sets$scenario_4
  d$x_w <- within(d$x1_c, d$k_id)
  d$b_w <- within(d$x2, d$k_id)
  d$x_b <- ave(d$x1_c, d$k_id)
  d
}

describe_rights_sterba <- function() {
  d <- centred_frame()
  fit <- fit_case(list(data = d, formula = "y ~ x_w + b_w + x_b + interv + (x_w + b_w | k_id)"), TRUE)
  b <- fixef(fit)
  T <- as.matrix(VarCorr(fit)$k_id)
  s2 <- sigma(fit)^2
  f1 <- drop(t(b[2:3]) %*% var(d[c("x_w", "b_w")]) %*% b[2:3])
  f2 <- drop(t(b[4:5]) %*% var(d[c("x_b", "interv")]) %*% b[4:5])
  v <- sum(diag(T[2:3, 2:3] %*% var(d[c("x_w", "b_w")])))
  m <- T[1, 1]
  total <- f1 + f2 + v + m + s2
  centred <- list(
    total = list(f1 = f1 / total, f2 = f2 / total, v = v / total, m = m / total, fvm = (f1 + f2 + v + m) / total),
    within = list(f1 = f1 / (f1 + v + s2), v1 = v / (f1 + v + s2)), between = list(f2 = f2 / (f2 + m), m = m / (f2 + m))
  )
  fit <- fit_case(by_name[["exam"]], TRUE)
  exam <- by_name[["exam"]]$data
  X <- getME(fit, "X")
  T <- as.matrix(VarCorr(fit)$school)
  x <- cbind(1, exam$standLRT)
  f <- drop(t(fixef(fit)) %*% var(X) %*% fixef(fit))
  v <- sum(diag(T %*% var(x)))
  m <- drop(colMeans(x) %*% T %*% colMeans(x))
  total <- f + v + m + sigma(fit)^2
  list(
    centred = centred,
    uncentred = list(f = f / total, v = v / total, m = m / total, fv = (f + v) / total, fvm = (f + v + m) / total)
  )
}

# ---- Edwards et al. ------------------------------------------------------------------------------------

describe_edwards <- function(name) {
  fit <- fit_case(by_name[[name]], TRUE)
  p <- length(fixef(fit))
  test <- KRmodcomp(fit, diag(p)[-1, , drop = FALSE])$test["Ftest", ]
  ratio <- test$ndf * test$stat / test$ddf
  ratio / (1 + ratio)
}

# ---- conditional AIC -----------------------------------------------------------------------------------
# cAIC4, and for one variance the effective number of parameters by differences of fitted values at solved optima.

describe_conditional_aic <- function(name, REML) {
  fit <- fit_case(by_name[[name]], REML)
  found <- suppressWarnings(suppressMessages(cAIC(fit)))
  list(
    name = name, reml = REML, loglik = as.numeric(found$loglikelihood), df = found$df, caic = found$caic,
    hat_trace = sum(hatvalues(fit))
  )
}

effective_by_differences <- function() {
  fit <- fit_case(by_name[["sleepstudy_intercept"]], TRUE)
  X <- getME(fit, "X")
  ZZ <- tcrossprod(as.matrix(getME(fit, "Z")))
  n <- nrow(X)
  fitted_at_optimum <- function(y) {
    criterion <- function(theta) {
      R <- chol(diag(n) + theta^2 * ZZ)
      q <- qr(backsolve(R, X, transpose = TRUE))
      rss <- sum(qr.resid(q, backsolve(R, y, transpose = TRUE))^2)
      2 * sum(log(diag(R))) + 2 * sum(log(abs(diag(qr.R(q))))) + (n - ncol(X)) * log(rss)
    }
    slope <- function(theta) (criterion(theta + 1e-4) - criterion(theta - 1e-4)) / 2e-4
    theta <- uniroot(slope, getME(fit, "theta") * c(0.8, 1.25), tol = 1e-13)$root
    inverse <- solve(diag(n) + theta^2 * ZZ)
    P <- inverse - inverse %*% X %*% solve(t(X) %*% inverse %*% X, t(X) %*% inverse)
    y - P %*% y
  }
  y <- getME(fit, "y")
  h <- 0.03 * sigma(fit)
  sum(vapply(seq_len(n), function(i) {
    e <- replace(numeric(n), i, h)
    (fitted_at_optimum(y + e)[i] - fitted_at_optimum(y - e)[i]) / (2 * h)
  }, 0))
}

# ---- comparison ----------------------------------------------------------------------------------------

describe_comparison <- function() {
  frames <- list()
  for (i in 1:5) {
    fit <- fit_case(by_name[[paste0("scenario_4_model_", i)]], TRUE)
    assign(paste0("m", i), fit, envir = globalenv())
  }
  ranked <- as.data.frame(suppressMessages(compare_performance(m1, m2, m3, m4, m5, rank = TRUE, verbose = FALSE)))
  plain <- as.data.frame(suppressMessages(compare_performance(m1, m2, m3, m4, m5, verbose = FALSE)))
  list(
    plain = list(columns = names(plain)[-(1:2)], values = unname(as.matrix(plain[-(1:2)]))),
    order = ranked$Name, score = ranked$Performance_Score
  )
}

if (is_main("quality_performance.R")) {
  variances <- lapply(chosen, function(name) {
    fit <- fit_case(by_name[[name]], TRUE)
    c(list(name = paste0(name, "_reml")), describe_variances(fit))
  })
  conditional <- lapply(
    c("sleepstudy", "sleepstudy_intercept", "sleepstudy_uncorrelated", "pastes_nested", "penicillin", "subjects_items"),
    function(name) lapply(c(TRUE, FALSE), function(REML) describe_conditional_aic(name, REML))
  )
  edwards <- c("sleepstudy", "orthodont", "oats")
  written <- list(
    versions = package_versions(c("lme4", "performance", "insight", "cAIC4", "pbkrtest")), variances = variances,
    levels = setNames(lapply(names(intercepts), describe_levels), names(intercepts)), rights_sterba = describe_rights_sterba(),
    edwards = setNames(lapply(edwards, describe_edwards), edwards), conditional_aic = unlist(conditional, recursive = FALSE),
    effective_by_differences = effective_by_differences(), comparison = describe_comparison()
  )
  write_json(written, commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

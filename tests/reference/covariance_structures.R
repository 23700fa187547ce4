# Covariance structures of random terms and of residuals, and relationships between levels:
# Rscript covariance_structures.R covariance_structures.json
#
# Structures of random terms by minimising the criterion written out here, subject by subject (no package has them all), and by
# glmmTMB where it has the structure; residual structures by nlme::lme; relationships by lme4's modular functions with Z L.

suppressMessages({
  library(lme4)
  library(nlme)
  library(glmmTMB)
  library(jsonlite)
})

# ---- data ------------------------------------------------------------------------------------------------------------------

repeated <- local({
  set.seed(20240611)
  subjects <- 24
  times <- 5
  d <- expand.grid(rep = 1:3, time = seq_len(times), subject = seq_len(subjects))
  rho <- 0.6^abs(outer(1:times, 1:times, "-"))
  s <- c(1, 1.4, 0.9, 1.8, 1.2)
  b <- t(chol(s * t(s * rho))) %*% matrix(rnorm(times * subjects), times)
  d$x <- round(rnorm(nrow(d)), 3)
  d$y <- round(2 + 0.3 * d$time + 0.5 * d$x + b[cbind(d$time, d$subject)] + 0.8 * rnorm(nrow(d)), 4)
  d
})

series <- local({
  set.seed(20240612)
  d <- expand.grid(step = 1:9, subject = 1:18)
  keep <- sort(sample(nrow(d), 135))
  d <- d[keep, ]
  d$arm <- ifelse(d$subject %% 3 == 0, "c", ifelse(d$subject %% 3 == 1, "a", "b"))
  d$clock <- d$step + round(runif(nrow(d), -0.3, 0.3), 2)
  d$w <- 1 + d$step %% 2
  e <- numeric(nrow(d))
  for (g in unique(d$subject)) {
    at <- which(d$subject == g)
    e[at] <- t(chol(0.5^abs(outer(d$clock[at], d$clock[at], "-")))) %*% rnorm(length(at))
  }
  scale <- c(a = 1, b = 1.7, c = 0.6)[d$arm]
  d$y <- round(1 + 0.4 * d$step + rnorm(18)[d$subject] + 0.15 * rnorm(18)[d$subject] * d$step + scale * e, 4)
  rownames(d) <- NULL
  d
})

ovary <- data.frame(mare = as.character(Ovary$Mare), time = Ovary$Time, follicles = Ovary$follicles)
orthodont <- data.frame(distance = Orthodont$distance, age = Orthodont$age, subject = as.character(Orthodont$Subject),
                        sex = as.character(Orthodont$Sex))

# with gaps, and a rat with one row
growth <- local({
  d <- data.frame(weight = BodyWeight$weight, time = BodyWeight$Time, rat = paste0("r", BodyWeight$Rat),
                  diet = paste0("d", BodyWeight$Diet))
  d <- d[-c(3, 17, 18, 60, 100:102, 150, which(d$rat == "r9")[-4]), ]
  d$w <- 1 + seq_len(nrow(d)) %% 3
  rownames(d) <- NULL
  d
})

# ---- structures of random terms --------------------------------------------------------------------------------------------

lag <- function(k) abs(outer(seq_len(k), seq_len(k), "-"))
toeplitz_of <- function(partial) {
  # correlations from partial autocorrelations (Durbin and Levinson)
  k <- length(partial)
  rho <- numeric(k)
  w <- numeric(0)
  v <- 1
  for (m in seq_len(k)) {
    rho[m] <- partial[m] * v + if (m > 1) sum(w * rev(rho[seq_len(m - 1)])) else 0
    w <- c(w - partial[m] * rev(w), partial[m])
    v <- v * (1 - partial[m]^2)
  }
  rho
}
patterns <- list(
  cs = function(z, k) { low <- -1 / (k - 1); r <- low + (1 - low) * plogis(z); m <- matrix(r, k, k); diag(m) <- 1; m },
  ar1 = function(z, k) tanh(z)^lag(k),
  toep = function(z, k) toeplitz(c(1, toeplitz_of(tanh(z)))),
  diag = function(z, k) diag(k)
)
n_angles <- function(pattern, k) c(cs = 1, ar1 = 1, toep = k - 1, diag = 0)[[pattern]]

criterion <- function(par, pattern, homogeneous, reml, k, parts, all = FALSE) {
  s <- exp(if (homogeneous) rep(par[1], k) else par[seq_len(k)])
  z <- par[-seq_len(if (homogeneous) 1 else k)]
  psi <- s * t(s * patterns[[pattern]](z, k))
  xx <- 0; xy <- 0; yy <- 0; logdet <- 0; n <- 0
  for (part in parts) {
    v <- diag(length(part$y)) + part$Z %*% psi %*% t(part$Z)
    r <- chol(v)
    x <- backsolve(r, part$X, transpose = TRUE)
    y <- backsolve(r, part$y, transpose = TRUE)
    xx <- xx + crossprod(x); xy <- xy + crossprod(x, y); yy <- yy + sum(y^2)
    logdet <- logdet + 2 * sum(log(diag(r))); n <- n + length(part$y)
  }
  beta <- solve(xx, xy)
  rss <- yy - sum(xy * beta)
  df <- if (reml) n - ncol(xx) else n
  value <- logdet + df * (1 + log(2 * pi * rss / df)) + if (reml) as.numeric(determinant(xx)$modulus) else 0
  if (!all) return(as.numeric(value))
  sigma <- sqrt(rss / df)
  corr <- cov2cor(psi)
  list(criterion = as.numeric(value), beta = I(as.numeric(beta)), std_error = I(sigma * sqrt(diag(solve(xx)))), sigma = sigma,
       covariance = sigma^2 * psi)
}

minimise <- function(pattern, homogeneous, reml, k, parts) {
  best <- NULL
  for (start in c(-0.3, 0.4)) {
    par <- c(rep(start, if (homogeneous) 1 else k), rep(0.3, n_angles(pattern, k)))
    f <- function(p) {
      value <- tryCatch(suppressWarnings(criterion(p, pattern, homogeneous, reml, k, parts)), error = function(e) 1e6)
      if (is.finite(value)) value else 1e6
    }
    slope <- function(p) vapply(seq_along(p), function(i) {
      central <- function(h) { e <- replace(numeric(length(p)), i, h); (f(p + e) - f(p - e)) / (2 * h) }
      (4 * central(1e-4) - central(2e-4)) / 3
    }, 0)
    found <- list(par = par)
    for (round in 1:3) found <- optim(found$par, f, slope, method = "BFGS", control = list(reltol = 1e-16, maxit = 500))
    if (is.null(best) || found$value < best$value) best <- found
  }
  criterion(best$par, pattern, homogeneous, reml, k, parts, TRUE)
}

split_rows <- function(d, columns) lapply(split(d, d$subject), function(own) {
  list(y = own$y, X = model.matrix(~ time + x, own), Z = columns(own))
})
by_time <- split_rows(repeated, function(own) unname(model.matrix(~ 0 + factor(time, 1:5), own)))
by_slope <- split_rows(repeated, function(own) unname(model.matrix(~ time + x, own)))
wanted <- list(
  list(formula = "cs(0 + factor(time) | subject)", pattern = "cs", homogeneous = FALSE, parts = by_time, k = 5),
  list(formula = "homcs(0 + factor(time) | subject)", pattern = "cs", homogeneous = TRUE, parts = by_time, k = 5),
  list(formula = "ar1(0 + factor(time) | subject)", pattern = "ar1", homogeneous = TRUE, parts = by_time, k = 5),
  list(formula = "hetar1(0 + factor(time) | subject)", pattern = "ar1", homogeneous = FALSE, parts = by_time, k = 5),
  list(formula = "toep(0 + factor(time) | subject)", pattern = "toep", homogeneous = FALSE, parts = by_time, k = 5),
  list(formula = "homtoep(0 + factor(time) | subject)", pattern = "toep", homogeneous = TRUE, parts = by_time, k = 5),
  list(formula = "homdiag(0 + factor(time) | subject)", pattern = "diag", homogeneous = TRUE, parts = by_time, k = 5),
  list(formula = "diag(0 + factor(time) | subject)", pattern = "diag", homogeneous = FALSE, parts = by_time, k = 5),
  list(formula = "cs(time + x | subject)", pattern = "cs", homogeneous = FALSE, parts = by_slope, k = 3)
)
random_cases <- unlist(lapply(wanted, function(case) lapply(c(TRUE, FALSE), function(reml) {
  c(list(formula = case$formula, reml = reml), minimise(case$pattern, case$homogeneous, reml, case$k, case$parts))
})), recursive = FALSE)

repeated$ftime <- factor(repeated$time)
tmb_cases <- unlist(lapply(c("cs", "ar1", "toep", "diag"), function(name) lapply(c(TRUE, FALSE), function(reml) {
  f <- as.formula(sprintf("y ~ time + x + %s(0 + ftime | subject)", name))
  fit <- suppressWarnings(glmmTMB(f, repeated, REML = reml, control = glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4))))
  list(structure = name, reml = reml, criterion = -2 * as.numeric(logLik(fit)))
})), recursive = FALSE)

# ---- residual structures ---------------------------------------------------------------------------------------------------

tight <- lmeControl(maxIter = 500, msMaxIter = 1000, tolerance = 1e-12, msTol = 1e-12, niterEM = 100, opt = "nlminb",
                    returnObject = TRUE)
describe_lme <- function(name, reml, fit) {
  ratios <- if (is.null(fit$modelStruct$varStruct)) numeric(0)
            else coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
  rho <- if (is.null(fit$modelStruct$corStruct)) numeric(0) else as.numeric(coef(fit$modelStruct$corStruct, unconstrained = FALSE))
  list(name = name, reml = reml, criterion = -2 * as.numeric(logLik(fit)), npar = attr(logLik(fit), "df"),
       beta = I(as.numeric(fixef(fit))), std_error = I(as.numeric(sqrt(diag(vcov(fit))))),
       ratios = as.list(ratios), rho = I(rho), sigma = fit$sigma,
       pearson = I(as.numeric(head(residuals(fit, type = "pearson"), 8))),
       normalized = I(as.numeric(head(residuals(fit, type = "normalized"), 8))),
       modes = I(as.numeric(ranef(fit)[, 1])), groups = I(rownames(ranef(fit))))
}
series$subject_f <- factor(series$subject)
lme_fits <- list(
  orthodont_ident = function(m) lme(distance ~ age * sex, random = ~ 1 | subject, orthodont, weights = varIdent(form = ~ 1 | sex),
                                    method = m, control = tight),
  orthodont_slope_ident = function(m) lme(distance ~ age * sex, random = ~ age | subject, orthodont,
                                          weights = varIdent(form = ~ 1 | sex), method = m, control = tight),
  ovary_ar1 = function(m) lme(follicles ~ sin(2 * pi * time) + cos(2 * pi * time), random = ~ 1 | mare, ovary,
                              correlation = corAR1(), method = m, control = tight),
  ovary_car1 = function(m) lme(follicles ~ sin(2 * pi * time) + cos(2 * pi * time), random = ~ 1 | mare, ovary,
                               correlation = corCAR1(form = ~ time), method = m, control = tight),
  series_ar1 = function(m) lme(y ~ step, random = ~ 1 | subject_f, series, correlation = corAR1(form = ~ step), method = m,
                               control = tight),
  series_slope_ident = function(m) lme(y ~ step, random = ~ step | subject_f, series, weights = varIdent(form = ~ 1 | arm),
                                       method = m, control = tight),
  series_car1 = function(m) lme(y ~ step, random = ~ 1 | subject_f, series, correlation = corCAR1(form = ~ clock), method = m,
                                control = tight),
  series_both = function(m) lme(y ~ step, random = ~ 1 | subject_f, series, weights = varIdent(form = ~ 1 | arm),
                                correlation = corAR1(form = ~ step), method = m, control = tight),
  series_both_continuous = function(m) lme(y ~ step, random = ~ 1 | subject_f, series, weights = varIdent(form = ~ 1 | arm),
                                           correlation = corCAR1(form = ~ clock), method = m, control = tight),
  growth_both = function(m) lme(weight ~ time * diet, random = ~ time | rat, growth, weights = varIdent(form = ~ 1 | diet),
                                correlation = corCAR1(form = ~ time), method = m, control = tight),
  growth_weighted = function(m) lme(weight ~ time * diet, random = ~ time | rat, growth,
                                    weights = varComb(varFixed(~ I(1 / w)), varIdent(form = ~ 1 | diet)), method = m, control = tight)
)
residual_cases <- unlist(lapply(names(lme_fits), function(name) lapply(c("REML", "ML"), function(m) {
  describe_lme(name, m == "REML", lme_fits[[name]](m))
})), recursive = FALSE)

# ---- relationships between levels ------------------------------------------------------------------------------------------

pedigree <- local({
  # 60 animals, the first 14 without known parents; additive relationships by the tabular method
  set.seed(20240613)
  m <- 60
  A <- diag(m)
  for (i in 15:m) {
    parents <- sample(seq_len(i - 1), 2)
    A[i, seq_len(i - 1)] <- A[seq_len(i - 1), i] <- rowMeans(A[seq_len(i - 1), parents])
    A[i, i] <- 1 + A[parents[1], parents[2]] / 2
  }
  dimnames(A) <- list(sprintf("a%02d", 1:m), sprintf("a%02d", 1:m))
  A
})
animals <- local({
  set.seed(20240614)
  n <- 160
  d <- data.frame(animal = sample(rownames(pedigree)[-(1:5)], n, TRUE), herd = sample(letters[1:9], n, TRUE))
  d$x <- round(rnorm(n), 3)
  L <- t(chol(pedigree))
  b <- L %*% cbind(1.2 * rnorm(60), 0.6 * rnorm(60))
  rownames(b) <- rownames(pedigree)
  d$y <- round(3 + 0.5 * d$x + b[d$animal, 1] + b[d$animal, 2] * d$x + rnorm(9)[match(d$herd, letters)] + rnorm(n), 4)
  d
})

fit_related <- function(formula, reml) {
  parts <- lFormula(formula, animals, REML = reml, control = lmerControl(check.nobs.vs.nRE = "ignore"))
  levels <- levels(parts$reTrms$flist$animal)
  L <- t(chol(pedigree[levels, levels]))
  Z <- parts$reTrms$Zt
  at <- which(names(parts$reTrms$cnms) == "animal")
  k <- length(parts$reTrms$cnms[[at]])
  rows <- parts$reTrms$Gp[at] + seq_len(k * length(levels))
  Z[rows, ] <- kronecker(t(L), diag(k)) %*% Z[rows, ]
  parts$reTrms$Zt <- Matrix::drop0(as(Z, "CsparseMatrix"))
  # new places for the numbers of Lambda, and a devfun that sees the new Z
  devfun <- do.call(mkLmerDevfun, parts)
  best <- NULL
  for (round in 1:4) {
    start <- if (is.null(best)) parts$reTrms$theta else best$par
    best <- nloptwrap(start, devfun, lower = parts$reTrms$lower, upper = rep(Inf, length(start)),
                      control = list(xtol_abs = 1e-12, ftol_abs = 1e-14, maxeval = 1e5))
  }
  devfun(best$par)
  fit <- mkMerMod(environment(devfun), list(par = best$par, fval = best$fval, conv = 0, feval = 1), parts$reTrms, parts$fr)
  modes <- L %*% matrix(getME(fit, "b")[rows], ncol = k, byrow = TRUE)
  list(formula = deparse1(formula), reml = reml, criterion = -2 * as.numeric(logLik(fit)), theta = I(as.numeric(best$par)),
       beta = I(as.numeric(fixef(fit))), std_error = I(as.numeric(sqrt(diag(as.matrix(vcov(fit)))))), sigma = sigma(fit),
       levels = I(levels), modes = unname(modes))
}
related_cases <- unlist(lapply(
  list(y ~ x + (1 | animal), y ~ x + (1 | animal) + (1 | herd), y ~ x + (1 + x | animal) + (1 | herd)),
  function(formula) lapply(c(TRUE, FALSE), function(reml) fit_related(formula, reml))
), recursive = FALSE)

# ---- write -----------------------------------------------------------------------------------------------------------------

out <- list(
  versions = lapply(setNames(nm = c("lme4", "nlme", "glmmTMB")), function(p) as.character(packageVersion(p))),
  data = list(
    repeated = as.list(repeated[c("subject", "time", "rep", "x", "y")]),
    series = as.list(series[c("subject", "step", "arm", "clock", "w", "y")]),
    ovary = as.list(ovary), orthodont = as.list(orthodont), animals = as.list(animals),
    growth = as.list(growth)
  ),
  random = random_cases, glmmTMB = tmb_cases, residual = residual_cases,
  pedigree = list(labels = rownames(pedigree), matrix = unname(pedigree)), related = related_cases
)
write_json(out, commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA)

# Fits that are as exact as the criterion allows, and their description as lists for JSON.

suppressMessages({
  library(lme4)
  library(lmerTest)
  library(jsonlite)
})

# ---- the optimiser -------------------------------------------------------------------------------------
# A derivative-free search finds the optimum's neighbourhood. Newton steps then solve for a zero gradient,
# with sixth-order central differences in units in which the criterion's curvature is near one. Diagonal
# elements of theta that end near their bound are set to zero when the criterion is no worse for it.

curvature_scale <- function(fn, par, j) {
  f0 <- fn(par)
  s <- 0.1 * max(abs(par[j]), 1e-7)
  for (i in 1:80) {
    p <- par
    p[j] <- p[j] + s
    rise <- fn(p) - f0
    if (rise > 3) s <- s / 2 else if (rise < 0.2 && s < 4) s <- s * 2 else break
  }
  s
}

newton_polish <- function(fn, par, free, h = 0.02, steps = 12) {
  if (!any(free)) return(list(par = par, fval = fn(par), gradient = 0))
  index <- which(free)
  q <- length(index)
  s <- vapply(index, function(j) curvature_scale(fn, par, j), 0)
  at <- function(z) {
    p <- par
    p[index] <- p[index] + s * z
    fn(p)
  }
  gradient <- function(z) vapply(seq_len(q), function(j) {
    e <- replace(numeric(q), j, h)
    (45 * (at(z + e) - at(z - e)) - 9 * (at(z + 2 * e) - at(z - 2 * e)) + at(z + 3 * e) - at(z - 3 * e)) / (60 * h)
  }, 0)
  hessian <- function(z) {
    H <- matrix(0, q, q)
    f0 <- at(z)
    for (i in seq_len(q)) {
      ei <- replace(numeric(q), i, h)
      H[i, i] <- (at(z + ei) - 2 * f0 + at(z - ei)) / h^2
      for (j in seq_len(i - 1)) {
        ej <- replace(numeric(q), j, h)
        H[i, j] <- H[j, i] <- (at(z + ei + ej) - at(z + ei - ej) - at(z - ei + ej) + at(z - ei - ej)) / (4 * h^2)
      }
    }
    H
  }
  z <- numeric(q)
  g <- gradient(z)
  f <- at(z)
  for (step in seq_len(steps)) {
    if (step %% 4 == 1) {
      e <- eigen(hessian(z), symmetric = TRUE)
      keep <- e$values > 1e-5 * max(e$values)
    }
    V <- e$vectors[, keep, drop = FALSE]
    move <- -drop(V %*% (crossprod(V, g) / e$values[keep]))
    if (max(abs(move)) > 1) move <- move / max(abs(move))
    new <- z + move
    f_new <- at(new)
    g_new <- gradient(new)
    if (f_new > f + 1e-7 || max(abs(g_new)) >= max(abs(g))) break
    z <- new
    g <- g_new
    f <- f_new
    if (max(abs(g)) < 1e-10) break
  }
  par[index] <- par[index] + s * z
  list(par = par, fval = fn(par), gradient = max(abs(g)))
}

last_fit <- new.env()

polished <- function(fn, par, lower, upper, control = list()) {
  diagonal <- lower == 0
  if (isTRUE(control$local)) {
    best <- list(par = par, fval = fn(par))
  } else {
    starts <- list(par)
    if (!isTRUE(control$large)) starts <- c(starts, list(ifelse(diagonal, 0.2, 0), ifelse(diagonal, 2, 0)))
    tight <- list(xtol_abs = 1e-12, ftol_abs = 1e-12, xtol_rel = 1e-12, ftol_rel = 1e-15, maxeval = 20000)
    if (isTRUE(control$large)) tight <- list(xtol_abs = 1e-6, ftol_abs = 1e-7, maxeval = 2000)
    best <- list(fval = Inf)
    for (start in starts) {
      found <- lme4::nloptwrap(start, fn, lower, upper, control = tight)
      if (found$fval < best$fval) best <- found
    }
    for (restart in if (isTRUE(control$large)) NULL else 1:3) {
      again <- minqa::bobyqa(best$par, fn, lower, upper, list(rhobeg = 0.02, rhoend = 1e-9, maxfun = 20000))
      gain <- best$fval - again$fval
      if (gain > 0) best <- list(par = again$par, fval = again$fval)
      if (gain < 1e-9) break
    }
  }
  small <- diagonal & best$par < 5e-3 & !isTRUE(control$local)
  result <- newton_polish(fn, best$par, rep(TRUE, length(par)))
  result$par <- ifelse(diagonal, pmax(result$par, 0), result$par)
  result$fval <- fn(result$par)
  if (any(small)) {
    bound <- newton_polish(fn, replace(best$par, small, 0), !small)
    if (bound$fval <= result$fval + 1e-8) result <- bound
  }
  last_fit$gradient <- result$gradient
  list(par = result$par, fval = fn(result$par), conv = 0, feval = 0, message = "polished")
}

# The call must be one that update() can evaluate again: its data are the global variable `reference_data`.
fit_case <- function(case, REML) {
  data <- case$data
  for (column in names(case$contrasts)) contrasts(data[[column]]) <- case$contrasts[[column]]
  assign("reference_data", data, envir = globalenv())
  control <- lmerControl(
    optimizer = "polished", optCtrl = list(large = case$large, local = !is.null(case$start)),
    restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE
  )
  call <- as.call(c(
    list(quote(lme4::lmer), as.formula(case$formula, env = globalenv()), data = quote(reference_data), REML = REML),
    list(control = control),
    if (!is.null(case$weights)) list(weights = as.name(case$weights)),
    if (!is.null(case$offset)) list(offset = as.name(case$offset)),
    if (!is.null(case$start)) list(start = case$start(REML))
  ))
  suppressWarnings(suppressMessages(eval(call, envir = globalenv())))
}

# ---- the description -----------------------------------------------------------------------------------

as_named <- function(x) as.list(x)
as_matrix <- function(x) list(rows = I(rownames(x)), columns = I(colnames(x)), values = unname(as.matrix(x)))

describe_varcorr <- function(fit) {
  components <- VarCorr(fit)
  groups <- names(fit@cnms)
  lapply(seq_along(components), function(i) {
    part <- components[[i]]
    sd <- attr(part, "stddev")
    list(
      group = groups[i], names = I(unname(fit@cnms[[i]])), sd = I(unname(sd)),
      covariance = unname(matrix(part, length(sd))), correlation = unname(matrix(attr(part, "correlation"), length(sd)))
    )
  })
}

describe_ranef <- function(fit) {
  effects <- ranef(fit, condVar = TRUE)
  lapply(as.list(effects), function(frame) {
    kept <- if (nrow(frame) > 150) 1:20 else seq_len(nrow(frame))
    variances <- attr(frame, "postVar")
    if (!is.list(variances)) variances <- list(variances)
    list(
      n_levels = nrow(frame), levels = I(rownames(frame)[kept]), columns = I(names(frame)),
      values = unname(as.matrix(frame[kept, , drop = FALSE])), sum_of_squares = I(unname(colSums(as.matrix(frame)^2))),
      cond_var = lapply(unname(variances), function(v) aperm(v[, , kept, drop = FALSE], c(3, 1, 2)))
    )
  })
}

describe_satterthwaite <- function(fit) {
  table <- tryCatch(
    suppressWarnings(suppressMessages(coef(summary(lmerTest::as_lmerModLmerTest(fit), ddf = "Satterthwaite")))),
    error = function(e) NULL
  )
  if (is.null(table) || ncol(table) < 5) return(NULL)
  # A table of one row loses its name with its dimension.
  column <- function(name) as_named(setNames(table[, name], rownames(table)))
  list(df = column("df"), t = column("t value"), p = column("Pr(>|t|)"))
}

# theta is not determined when a zero diagonal element stands above others in its column
theta_is_unique <- function(fit) {
  tolerance <- 1e-4 * max(abs(getME(fit, "theta")))
  all(vapply(getME(fit, "Tlist"), function(L) {
    L <- as.matrix(L)
    all(vapply(seq_len(ncol(L)), function(j) abs(L[j, j]) > tolerance || all(abs(L[-seq_len(j), j]) <= tolerance), NA))
  }, NA))
}

describe_fit <- function(case, REML) {
  fit <- fit_case(case, REML)
  V <- as.matrix(vcov(fit))
  dropped <- attr(getME(fit, "X"), "col.dropped")
  c(
    list(
      name = paste0(case$name, if (REML) "_reml" else "_ml"), case = case$name, source = case$source, data = case$set,
      formula = case$formula, reml = REML
    ),
    if (!is.null(case$weights)) list(weights = case$weights),
    if (!is.null(case$offset)) list(offset = case$offset),
    if (!is.null(case$contrasts)) list(contrasts = case$contrasts),
    if (!is.null(case$note)) list(note = case$note),
    list(
      nobs = nobs(fit), ngrps = as_named(ngrps(fit)), criterion = unname(fit@devcomp$cmp[[if (REML) "REML" else "dev"]]),
      loglik = as.numeric(logLik(fit)), npar = attr(logLik(fit), "df"), aic = AIC(fit), bic = BIC(fit),
      df_residual = df.residual(fit), sigma = sigma(fit), singular = isSingular(fit, tol = 1e-4),
      scaled_gradient = last_fit$gradient,
      theta = as_named(getME(fit, "theta")), theta_is_unique = theta_is_unique(fit), varcorr = describe_varcorr(fit),
      fixef = as_named(fixef(fit)), dropped = I(as.character(names(dropped))), se = as_named(sqrt(diag(V))),
      vcov = as_matrix(V), correlation = as_matrix(cov2cor(V)),
      satterthwaite = if (is.null(case$ddf)) describe_satterthwaite(fit) else case$ddf(REML),
      ranef = describe_ranef(fit), fitted = I(unname(head(fitted(fit), 10))),
      residuals = I(unname(head(residuals(fit), 10))),
      scaled_residuals = I(unname(head(residuals(fit, "pearson", scaled = TRUE), 10))),
      scaled_residual_quantiles = I(unname(quantile(residuals(fit, "pearson", scaled = TRUE))))
    )
  )
}

package_versions <- function(names) {
  packages <- sapply(names, function(p) as.character(packageVersion(p)), simplify = FALSE)
  c(list(R = paste(R.version$major, R.version$minor, sep = ".")), packages)
}

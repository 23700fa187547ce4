# Writes formula_designs.json: what R and lme4 make of formulas on one small frame.
# Run in this directory: Rscript formula_designs.R
suppressPackageStartupMessages({
  library(lme4)
  library(splines)
  library(jsonlite)
})

n <- 48
i <- seq_len(n)
frame <- data.frame(
  y = round(sin(i * 1.7) * 3 + i / 10, 4),
  x = round(cos(i * 0.9) * 2 + (i %% 7) / 3, 4),
  z = round(((i * 37) %% 29) / 7 + 0.5, 4),
  k = as.integer((i * 5) %% 6),
  a = c("a1", "a2")[1 + (i %% 2)],
  b = c("low", "mid", "high")[1 + ((i %/% 2) %% 3)],
  dose = c("d1", "d2", "d3", "d4")[1 + ((i * 3 + i %/% 5) %% 4)],
  flag = (i %% 5) < 2,
  g = as.integer(100 + (i * 7) %% 8),
  h = c("u", "v", "w", "x", "y")[1 + (i %/% 3) %% 5],
  batch = c("B", "A", "C")[1 + (i - 1) %/% 16],
  cask = c("c", "a", "b", "d")[1 + ((i - 1) %/% 4) %% 4],
  ratio = c(0.1, 1 / 3, 2.5, 1e5)[1 + i %% 4],
  stringsAsFactors = FALSE
)
typed <- transform(frame, b = factor(b, levels = c("low", "mid", "high")), dose = ordered(dose))

fixed <- c(
  "1", "0 + a", "a", "b", "a:b", "a*b", "a + a:b", "b + a:b", "0 + a:b", "0 + a*b", "a/b", "b %in% a",
  "a*b*dose", "(a + b + dose)^2", "x", "0 + x", "x*z", "x:z", "x*a", "x:a", "a:x + x", "0 + x:a", "0 + x + a",
  "0 + a + b", "x*a*b", "a:b:dose", "a*b - a", "a*b - 1", "b:a + a + b", "flag", "0 + flag", "flag*a", "x:flag", "dose", "0 + dose",
  "dose*x", "I(x^2)", "x + I(x^2) + I(x^2 * z)", "log(z)", "log(z, 2)", "log2(z) + log10(z) + log1p(z)",
  "exp(x) + expm1(x) + sqrt(z) + abs(x)", "sin(x) + cos(x) + tan(z)", "scale(x)", "scale(x, scale = FALSE)",
  "scale(x, center = FALSE)", "poly(x, 2)", "poly(x, 1)", "poly(x, 3, raw = TRUE)", "poly(x, degree = 2):a", "a*poly(z, 2)", "bs(x)",
  "bs(x, df = 6)", "bs(x, knots = c(-0.5, 1), degree = 2)", "bs(x, df = 5, intercept = TRUE)", "ns(x)", "ns(x, df = 4)",
  "ns(x, knots = c(-0.5, 0.5))", "ns(x, df = 3, intercept = TRUE)", "0 + ns(z, 3):a", "ns(x, df = 3, Boundary.knots = c(-1, 2))",
  "bs(z, df = 5, Boundary.knots = c(0, 6))",
  "cut(x, 3)", "cut(x, c(-5, 0, 1, 9))", "cut(z, c(0.5, 2, 3, 9), include.lowest = TRUE, right = FALSE)",
  "cut(x, c(-Inf, 0, Inf), labels = c(\"neg\", \"pos\"))", "factor(k)", "as.factor(k) + x", "factor(b, levels = c(\"mid\", \"low\", \"high\"))",
  "relevel(b, ref = \"mid\")", "relevel(factor(k), ref = \"3\")", "ordered(k)", "factor(flag)", "factor(ratio)",
  "I(x > 0)", "I(x > 0 & z < 3)", "I(a == \"a1\")", "I(-x)", "I((x + 1) * 2/z)", "I(k%%2) + I(k%/%2)", "I(k %in% c(1, 3))",
  "ifelse(x > 0, x, 0)", "I(x - mean(x))", "I(1e5 * x) + I(2L * x) + I(0.5 * x)", "offset(z) + x", "x + k + I(x + k)", "x + a + I(2 * x) + b",
  "a*b + (dose - 1)", "x + z - z", "a + b + a:b:dose", "pmax(x, 0) + pmin(z, 2)",
  "(flag + dose*z)^2", "x %in% (b*z)", "(a + b)/(x + z)", "0 + h + (factor(k) - h)", "x + (z - x)", "a*(b + 0)", "(a + b + 1)^2 + x^2",
  "z:b:x + b:x", "dose*flag - flag", "(a + b + x)^3 - a:b:x", "h*b", "0 + poly(x, 2):b", "a:b + b:dose + dose:a"
)
designs <- lapply(fixed, function(text) {
  X <- model.matrix(as.formula(paste("~", text)), typed)
  q <- qr(X, tol = 1e-7, LAPACK = FALSE)
  list(
    formula = text, names = I(colnames(X)), assign = I(attr(X, "assign")), values = I(unname(as.vector(X))),
    terms = I(attr(terms(as.formula(paste("y ~", text))), "term.labels")),
    kept = I(q$pivot[seq_len(q$rank)])
  )
})

coded <- list(
  list(text = "a*b", contrasts = list(a = "sum", b = "helmert")),
  list(text = "b + dose", contrasts = list(b = "SAS", dose = "treatment")),
  list(text = "b*x", contrasts = list(b = "poly")),
  list(text = "0 + a + b", contrasts = list(a = "sum", b = "sum")),
  list(text = "dose", contrasts = list(dose = "helmert"))
)
contrasted <- lapply(coded, function(case) {
  X <- model.matrix(as.formula(paste("~", case$text)), typed, contrasts.arg = lapply(case$contrasts, function(k) paste0("contr.", k)))
  list(formula = case$text, contrasts = case$contrasts, names = I(colnames(X)), values = I(unname(as.vector(X))))
})
M <- cbind(c(-1, 0.5, 0.5), c(0, -0.5, 0.5))
named <- M
colnames(named) <- c("rest", "last")
matrices <- lapply(list(M, named), function(m) {
  X <- model.matrix(~ b, typed, contrasts.arg = list(b = m))
  list(matrix = unname(m), columns = colnames(m), names = I(colnames(X)), values = I(unname(as.vector(X))))
})

mixed <- c(
  "y ~ x + (1 | batch/cask)", "y ~ x + (1 | batch:cask)", "y ~ 1 + (x || batch) + (b || g)", "y ~ x + (x*b || g)",
  "y ~ (1 | h/g/batch)", "y ~ (x | g) + (1 | g) + (0 + b | g)", "y ~ x + (poly(x, 2) | g)", "y ~ x + (x - 1 | g)",
  "y ~ x*z + (1 + x:z | g)", "y ~ (x | batch/cask)", "y ~ (b - 1 || g)", "y ~ (1 + x + b || g)", "y ~ (1 | g) + (1 | h) + (x | h:g)",
  "y ~ x + (1 | batch:cask:g)", "y ~ (x || batch/cask)", "y ~ x + (log(x^2):z | g)", "y ~ x + (0 + x | g) + offset(z)",
  "y ~ (dose | h)", "y ~ (a*b | h)", "y ~ (flag | h)", "y ~ (0 + a:b | h)", "log(z) ~ x + (1 | ratio)", "y ~ (1 | flag)",
  "y ~ x + k + I(x + k) + (k | g)", "y ~ a + (x + z || g) + (1 | batch/h)", "y ~ (scale(x) | g)", "y ~ x + (ns(z, 2) | h)"
)
control <- lmerControl(
  check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore", check.nobs.vs.rankZ = "ignore",
  check.scaleX = "ignore", check.rankX = "silent.drop.cols"
)
models <- lapply(mixed, function(text) {
  parsed <- suppressMessages(lFormula(as.formula(text), typed, control = control))
  bars <- findbars(as.formula(text))
  terms <- lapply(bars, function(bar) {
    one <- lme4:::mkBlist(bar, parsed$fr)
    list(
      label = paste(deparse(bar), collapse = ""), names = I(one$cnms), levels = I(levels(one$ff)),
      codes = I(as.integer(one$ff)), group = paste(deparse(bar[[3]]), collapse = ""),
      values = I(as.vector(model.matrix(as.formula(substitute(~ lhs, list(lhs = bar[[2]]))), parsed$fr)))
    )
  })
  list(formula = text, fixed = I(colnames(parsed$X)), terms = terms)
})

# Prediction on new data keeps what was learned from the first data.
later <- data.frame(
  x = c(-3, 0, 0.25, 4), z = c(0.2, 1, 5.5, 2), b = factor(c("mid", "low", "mid", "high"), levels = c("low", "mid", "high"))
)
smooth <- c("poly(x, 3)", "bs(x, df = 5)", "ns(x, df = 4)", "scale(x)", "ns(z, 2):b", "x*b", "bs(x, knots = 0.3, degree = 2)")
predicted <- lapply(smooth, function(text) {
  fit <- suppressWarnings(lm(as.formula(paste("y ~", text)), typed))
  X <- suppressWarnings(model.matrix(delete.response(terms(fit)), model.frame(delete.response(terms(fit)), later, xlev = fit$xlevels)))
  list(formula = text, values = I(unname(as.vector(X))))
})

updates <- list(
  c("y ~ x + (1 | g)", ". ~ . + z"), c("y ~ x + (1 | g)", ". ~ . - (1 | g) + z + (x | g)"), c("y ~ x*z + (1 | g)", "log(.) ~ . - x:z"),
  c("y ~ x", ". ~ . + (1 | g)"), c("y ~ x + (1 | g)", "~ . - x"), c("y ~ x + (1 | g)", "z ~ ."), c("y ~ a + b + (1 | g)", ". ~ . + a:b"),
  c("y ~ a*b + (1 | g)", ". ~ . - a"), c("y ~ x + offset(w) + (1 | g)", ". ~ . + z"), c("y ~ x + (1 | g)", ". ~ . + 0"),
  c("y ~ 0 + x + (1 | g)", ". ~ . + 1")
)
updated <- lapply(updates, function(pair) {
  new <- update(as.formula(pair[1]), as.formula(pair[2]))
  trms <- terms(lme4::nobars(new))
  list(
    old = pair[1], new = pair[2], response = deparse(new[[2]]), terms = I(attr(trms, "term.labels")), intercept = attr(trms, "intercept"),
    offsets = length(attr(trms, "offset")), bars = I(vapply(findbars(new), function(bar) paste(deparse(bar), collapse = ""), ""))
  )
})

write(toJSON(
  list(
    data = as.list(frame), designs = designs, contrasted = contrasted, matrices = matrices, models = models,
    later = lapply(as.list(later), function(v) if (is.factor(v)) as.character(v) else v), predicted = predicted, updated = updated
  ),
  digits = NA, auto_unbox = TRUE
), "formula_designs.json")

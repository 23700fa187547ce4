# Writes formula_functions.json: what R and lme4 make of calls of functions in formulas, and which calls R refuses.
# Run in this directory: Rscript formula_functions.R
suppressPackageStartupMessages({
  library(lme4)
  library(splines)
  library(jsonlite)
})

n <- 48
i <- seq_len(n)
frame <- data.frame(
  y = round(sin(i * 1.7) * 3 + i / 10, 4),
  x = round(cos(i * 0.9) * 2 + (i %% 7) / 3 + 3, 3),
  z = round(((i * 37) %% 29) / 7 + 0.5, 4),
  o = round(((i * 11) %% 17) / 4 + 0.15, 3),
  k = as.integer((i * 5) %% 6),
  f = c("c", "a", "b")[1 + ((i * 7) %/% 2) %% 3],
  h = c("u", "v")[1 + (i %/% 3) %% 2],
  flag = (i %% 5) < 2,
  g = as.integer(100 + (i * 7) %% 8)
)
later <- data.frame(
  y = 0, x = c(1.5, 3.25, 9), z = c(2, 0.5, 4), o = c(0.4, 5, 1), k = c(3L, 0L, 3L), f = c("b", "b", "a"), h = c("v", "u", "u"),
  flag = c(TRUE, FALSE, TRUE), g = c(101L, 100L, 107L)
)

calls <- c(
  "pmin(x, o, na.rm = TRUE)", "pmax(z, 0.25, o, na.rm = TRUE)", "pmin(x, 3)", "ifelse(x > 3, no = 1, yes = 0)",
  "ifelse(no = z, yes = x, flag)", "I(x - max(x, 20))", "I(x - min(z, 2, o))", "I(x / sum(x, z))", "log(base = 2, x)", "log(x, b = 3)",
  "log(x, z + 5)", "round(digits = 1, x)", "round(x, d = 1)", "round(x, -1)", "round(o)", "round(o, 1)", "round(o, 2)", "signif(x, 2)",
  "trunc(x)", "scale(x, sc = FALSE)", "scale(x, FALSE)", "scale(scale = FALSE, x)", "scale(x, center = 2, scale = 3)",
  "poly(x, deg = 2)", "poly(x, 2, raw = T)", "poly(raw = TRUE, degree = 3, x)", "poly(x, 2, simple = TRUE)",
  "poly(x, z)", "poly(x, z, degree = 2)", "poly(x, z, degree = 2, raw = TRUE)", "poly(x, z, o, degree = 2)", "poly(x, z, degree = 3):h",
  "bs(x, deg = 2, df = 4)", "bs(df = 5, x)", "bs(x, 5, int = TRUE)", "bs(x, NULL, c(3, 4.5))", "ns(x, B = c(0, 10), df = 2)",
  "ns(knots = c(3, 4.5), x)", "ns(x, 3, intercept = T)", "cut(x, 3, lab = F)", "cut(x, br = 3)", "cut(br = c(0, 2, 4, 9), x, right = F)",
  "cut(x, 3, dig = 2)", "cut(x, c(0, 2, 4, 9), labels = c('p', 'q', 'p'))",
  "factor(k, lab = c('p', 'q', 'r', 's', 't', 'u'))", "factor(k, labels = c('p', 'q', 'p', 's', 't', 'q'))", "factor(k, exclude = 1)",
  "factor(k, 5:0)", "factor(k, 0:3)", "ordered(k, lev = 5:0)", "relevel(factor(f), r = 'b')", "relevel(ref = 2, factor(k))", "relevel(factor(k), '2')",
  "as.character(k)", "as.integer(flag)", "as.numeric(flag)", "as.numeric(factor(f))", "as.integer(factor(k))", "as.numeric(factor(f, c('b', 'c', 'a')))",
  "as.numeric(as.character(k))", "as.numeric(paste0(k, '5'))", "as.double(x)",
  "I(x - mean(x, tr = 0.1))", "I(x - mean(na.rm = TRUE, x))", "I(x / sd(x))", "I(x / var(na.rm = TRUE, x = z))", "I(x - median(x, TRUE))",
  "is.na(x) + x", "I(k %in% c(1, 3))", "I(k %in% 1:3)", "I(k %in% seq(0, 4, by = 2))", "I(k %in% seq(1, 5, len = 3))", "I(k %in% seq(4, 1))",
  "I(f %in% c('a', 'b'))", "offset(z) + x",
  "(x > 3)", "x + (x > 3)", "(x > 3 & z < 2)", "(!flag)", "f:(x > 3)", "(f == 'a')", "k%%2", "x + k%/%2", "0 + (x > 3)", "(x > 3) * h",
  "sin(2 * pi * k/12) + cos(2 * pi * k/12)", "I(pi * x)", "poly(x, 2, raw = F)", "scale(x, scale = F)", "I(x * T)",
  "splines::ns(x, 3)", "splines::bs(x, df = 4)", "stats::poly(x, 2)", "base::log(x)", "lme4::dummy(f, 'a')", "stats::relevel(factor(f), 'b')",
  "dummy(f, 'a')", "dummy(f)", "dummy(f, c('c', 'a'))", "dummy(k, '3')", "0 + dummy(f)", "dummy(f, 'b'):x",
  "interaction(f, h)", "interaction(h, f)", "interaction(f, h, flag)", "interaction(f, h, sep = '_', lex.order = TRUE)",
  "interaction(f, h, drop = TRUE) * x", "interaction(k, h)", "0 + interaction(f, h)",
  "paste(f, h)", "paste(f, h, sep = '-')", "paste0(f, h)", "paste('at', k, h)", "paste(flag, f)", "factor(paste(f, h), c('c v', 'a u', 'a v'))",
  "(x + z)^9", "(f + h)^7 - f", "x**2 + z", "x:x + z", "C(factor(f))"
)
made <- function(text) {
  m <- model.frame(as.formula(paste("~", text)), frame, na.action = na.omit, drop.unused.levels = TRUE)
  X <- model.matrix(terms(m), m)
  later_m <- try(model.frame(delete.response(terms(m)), later, xlev = .getXlevels(terms(m), m)), silent = TRUE)
  # Only what R itself makes from what it learned can be compared on new data.
  learns <- grepl("poly|bs\\(|ns\\(|scale", text) && !grepl("simple", text)
  new <- if (learns && !inherits(later_m, "try-error")) unname(as.vector(model.matrix(terms(m), later_m))) else NULL
  list(formula = text, names = I(colnames(X)), rows = I(as.integer(rownames(m))), values = I(unname(as.vector(X))), later = if (is.null(new)) list() else I(new))
}
designs <- lapply(calls, made)

refused <- c(
  "log(x, foo = 2)", "exp(foo = x)", "round(x, foo = 1)", "sqrt(foo = x)", "sqrt(x, 2)", "log(x, 2, 3)", "ifelse(x > 3, 1)", "ifelse(x > 3, 1, 2, 3)",
  "offset(z, 2)", "scale(x, TRUE, TRUE, TRUE)", "scale(x, centre = TRUE, FALSE, FALSE)", "factor(k, 1:6, 1:6, 0, FALSE, 3, 4)",
  "bs(x, foo = 3)", "ns(x, df = 3, df = 4)", "cut(x)", "poly(x, z, 2)", "log()", "I(x, z)", "is.na(x, z)", "interaction(f, lex.order = z)",
  "bs(x, d = 3)", "dummy(f, 'q')", "relevel(factor(k), 7)", "relevel(factor(k), 0)", "factor(k, levels = c(1, 1))", "poly(x, NaN)", "bs(x, degree = -3)", "ns(x, knots = 'a')"
)
refused <- Filter(function(text) inherits(try(model.matrix(as.formula(paste("~", text)), frame), silent = TRUE), "try-error"), refused)

random <- c(
  "y ~ f + (0 + dummy(f, 'a') | g)", "y ~ f + (dummy(f) || g)", "y ~ f * h + (1 | interaction(f, h))", "y ~ f + h + (1 | paste(f, h))",
  "y ~ x | g", "y ~ 1 | g", "y ~ x + z | g", "y ~ x || g", "y ~ x + (1 + (x > 3) | g)",
  "y ~ f + (0 + lme4::dummy(f, c('a', 'b')) | g)"
)
control <- lmerControl(check.nobs.vs.nRE = "ignore", check.nobs.vs.rankZ = "ignore", check.rankX = "ignore")
models <- lapply(random, function(text) {
  parsed <- suppressMessages(lFormula(as.formula(text), frame, control = control))
  terms <- lapply(findbars(as.formula(text)), function(bar) {
    one <- lme4:::mkBlist(bar, parsed$fr)
    list(
      label = paste(deparse(bar), collapse = ""), names = I(one$cnms), levels = I(levels(one$ff)), codes = I(as.integer(one$ff)),
      values = I(as.vector(model.matrix(as.formula(substitute(~ lhs, list(lhs = bar[[2]]))), parsed$fr)))
    )
  })
  list(formula = text, fixed = I(colnames(parsed$X)), terms = terms)
})

write_json(list(data = frame, later = later, designs = designs, refused = I(refused), models = models),
  "formula_functions.json", digits = NA, auto_unbox = TRUE, na = "null")

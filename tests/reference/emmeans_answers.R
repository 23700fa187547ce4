# Asking R's emmeans and writing down its answers.

suppressMessages(library(emmeans))

emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 1e5, rg.limit = 1e5)

# What to ask of each: arguments of emmeans() or emtrends(), and of contrast().
means <- function(specs, ...) list(kind = "means", arguments = list(specs = specs, ...))
trends <- function(specs, ...) list(kind = "trends", arguments = list(specs = specs, ...))
then <- function(of, ...) c(of, list(contrast = list(...)))

quietly <- function(expression) suppressWarnings(suppressMessages(expression))
column <- function(table, ...) {
  found <- intersect(c(...), names(table))
  if (length(found)) I(unname(as.numeric(table[, found[1]])))
}

answer <- function(fit, one) {
  arguments <- c(list(fit), one$arguments)
  if (is.null(arguments$lmer.df)) arguments$lmer.df <- "satterthwaite"
  level <- if (is.null(arguments$level)) 0.95 else arguments$level
  found <- quietly(do.call(if (one$kind == "trends") emtrends else emmeans, arguments))
  if (!is.null(one$contrast)) found <- quietly(do.call(contrast, c(list(found), one$contrast)))
  table <- quietly(as.data.frame(summary(found, infer = c(TRUE, TRUE), level = level)))
  measured <- which(names(table) == "SE") - 1
  list(
    kind = one$kind, arguments = lapply(one$arguments, function(x) if (is.list(x)) lapply(x, I) else x), contrast = one$contrast,
    labels = lapply(table[seq_len(measured - 1)], function(x) I(as.character(x))),
    estimate = column(table, names(table)[measured]), se = column(table, "SE"), df = column(table, "df"),
    lower = column(table, "lower.CL", "asymp.LCL"), upper = column(table, "upper.CL", "asymp.UCL"),
    statistic = column(table, "t.ratio", "z.ratio"), p = column(table, "p.value"),
    notes = I(attr(quietly(summary(found, infer = c(TRUE, TRUE), level = level)), "mesg"))
  )
}

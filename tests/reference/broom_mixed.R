# The frames of broom.mixed: Rscript broom_mixed.R broom_mixed.json
suppressMessages({library(lme4); library(lmerTest); library(broom.mixed); library(jsonlite)})
source("fitting.R")
control <- lmerControl(optimizer = polished, calc.derivs = FALSE)
sleep <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), sleepstudy, control = control)
likelihood <- lmerTest::lmer(Reaction ~ Days + (Days || Subject), sleepstudy, REML = FALSE, control = control)
frame <- function(x) lapply(as.list(as.data.frame(x)), function(column) if (is.factor(column)) as.character(column) else column)

found <- list(
  tidy = frame(tidy(sleep, conf.int = TRUE)),
  kenward_roger = frame(tidy(sleep, "fixed", conf.int = TRUE, ddf.method = "Kenward-Roger")),
  variances = frame(tidy(sleep, "ran_pars", scales = "vcov")),
  modes = frame(tidy(sleep, "ran_vals", conf.int = TRUE)),
  coefficients = frame(tidy(sleep, "ran_coefs")),
  likelihood = frame(tidy(likelihood)),
  glance = frame(glance(sleep)), glance_likelihood = frame(glance(likelihood)),
  augment = frame(augment(sleep))
)
writeLines(toJSON(found, auto_unbox = TRUE, digits = NA, na = "null"), commandArgs(TRUE)[1])

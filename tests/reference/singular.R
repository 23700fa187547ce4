# Kenward-Roger coefficients of singular fits by pbkrtest: Rscript singular.R singular.json
suppressMessages({
  library(lmerTest)
  library(jsonlite)
})
models <- list(
  list(data = "Dyestuff2", formula = "Yield ~ 1 + (1 | Batch)"),
  list(data = "cake", formula = "angle ~ recipe + (recipe | replicate)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)")
)
control <- lmerControl(optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12, maxeval = 1e5))
found <- lapply(models, function(m) {
  data <- get(m$data, envir = asNamespace("lme4"))
  fit <- suppressMessages(lmer(as.formula(m$formula), data, control = control))
  table <- coef(summary(fit, ddf = "Kenward-Roger"))
  c(m, list(
    singular = isSingular(fit), names = I(rownames(table)), std_error = I(unname(table[, "Std. Error"])),
    df = I(unname(table[, "df"]))
  ))
})
writeLines(toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE), commandArgs(TRUE)[1])

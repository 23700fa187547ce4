# Variances, ICC and R squared of models with a residual structure: Rscript residual_variance.R covariance_structures.json residual_variance.json
#
# insight and performance on nlme::lme. tolerance = 0, because their check for singular fits takes every lme fit for one. With
# varIdent they take the residual variance of the first stratum; nlme's own standardisation of residuals gives those of the rows.

suppressMessages({
  library(nlme)
  library(insight)
  library(performance)
  library(jsonlite)
})

paths <- commandArgs(TRUE)
data <- lapply(read_json(paths[1], simplifyVector = TRUE)$data[c("series", "ovary", "orthodont")], as.data.frame)
data$ovary$sine <- sin(2 * pi * data$ovary$time)
data$ovary$cosine <- cos(2 * pi * data$ovary$time)
data$series$subject <- factor(data$series$subject)
tight <- lmeControl(maxIter = 500, msMaxIter = 1000, tolerance = 1e-12, msTol = 1e-12, niterEM = 100, opt = "nlminb",
                    returnObject = TRUE)
models <- list(
  ovary_ar1 = function() lme(follicles ~ sine + cosine, random = ~ 1 | mare, data$ovary, correlation = corAR1(), control = tight),
  series_car1 = function() lme(y ~ step, random = ~ 1 | subject, data$series, correlation = corCAR1(form = ~ clock),
                               control = tight),
  orthodont_ident = function() lme(distance ~ age * sex, random = ~ 1 | subject, data$orthodont,
                                   weights = varIdent(form = ~ 1 | sex), control = tight),
  orthodont_slope_ident = function() lme(distance ~ age * sex, random = ~ age | subject, data$orthodont,
                                         weights = varIdent(form = ~ 1 | sex), control = tight),
  series_both = function() lme(y ~ step, random = ~ 1 | subject, data$series, weights = varIdent(form = ~ 1 | arm),
                               correlation = corAR1(form = ~ step), control = tight)
)
describe <- function(name) {
  fit <- models[[name]]()
  parts <- get_variance(fit, tolerance = 0)
  # residuals over Pearson's residuals are the standard deviations of the rows
  sd <- residuals(fit, type = "response") / residuals(fit, type = "pearson")
  list(name = name, fixed = parts$var.fixed, random = parts$var.random, residual = parts$var.residual,
       mean_residual = mean(sd^2), icc = as.list(icc(fit, tolerance = 0))[c("ICC_adjusted", "ICC_unadjusted")],
       r2 = lapply(r2_nakagawa(fit, tolerance = 0), as.numeric))
}
out <- list(versions = lapply(setNames(nm = c("nlme", "insight", "performance")), function(p) as.character(packageVersion(p))),
            models = lapply(names(models), describe))
write_json(out, paths[2], auto_unbox = TRUE, digits = NA, pretty = TRUE)

# F tests of small balanced split-plots: Kenward-Roger by pbkrtest, and exact by strata: Rscript kenward_roger.R kenward_roger.json
# pbkrtest's F is 0/0 where a hypothesis has two denominator degrees of freedom and chance decides what is left of it: its results are
# kept where it still found them (`sound`); those of the strata (aov) are what they should be everywhere.
suppressMessages({
  library(lmerTest)
  library(jsonlite)
})
set.seed(12)
control <- lmerControl(
  check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore",
  optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12, maxeval = 1e5)
)
sizes <- list(c(2, 2, 2), c(2, 3, 2), c(3, 2, 2), c(3, 2, 3), c(3, 3, 2), c(2, 3, 3), c(2, 5, 2), c(5, 2, 3), c(2, 4, 4), c(4, 3, 2))
found <- list()
for (size in sizes) {
  for (unit in c(1, 1e4)) {
    repeat {
      data <- expand.grid(sub = letters[1:size[3]], whole = LETTERS[1:size[2]], block = as.character(1:size[1]))
      data$plot <- interaction(data$block, data$whole, drop = TRUE)
      mean <- 10 + as.integer(data$sub) + 0.5 * as.integer(data$whole) + 3 * rnorm(nlevels(data$plot))[data$plot]
      data$y <- round(unit * (mean + rnorm(nrow(data))), 3)
      fit <- suppressMessages(lmer(y ~ block + whole * sub + (1 | block:whole), data, control = control))
      if (!isSingular(fit)) break
    }
    kr <- anova(fit, ddf = "Kenward-Roger", type = 1)
    strata <- summary(aov(y ~ block + whole * sub + Error(plot), data))
    between <- strata[[1]][[1]]
    within <- strata[[2]][[1]]
    exact <- rbind(
      cbind(between[1:2, c("F value", "Pr(>F)")], df = between["Residuals", "Df"]),
      cbind(within[1:2, c("F value", "Pr(>F)")], df = within["Residuals", "Df"])
    )
    found[[length(found) + 1]] <- list(
      size = size, y = data$y, sub = as.character(data$sub), whole = as.character(data$whole), block = as.character(data$block),
      term = c("block", "whole", "sub", "whole:sub"),
      exact = list(statistic = exact[["F value"]], df = exact$df, p_value = exact[["Pr(>F)"]]),
      pbkrtest = list(statistic = kr[["F value"]], df = kr$DenDF, sound = abs(kr[["F value"]]) > 1e-9)
    )
  }
}
writeLines(toJSON(found, auto_unbox = TRUE, digits = NA), commandArgs(TRUE)[1])

# Simulated prediction intervals of merTools: Rscript prediction_intervals.R > prediction_intervals.json
suppressMessages({
  library(lme4)
  library(merTools)
  library(jsonlite)
})
set.seed(20)
fit <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
new <- data.frame(
  Days = c(0, 4.5, 9, 9),
  Subject = factor(c("308", "335", "370", "352"), levels = levels(sleepstudy$Subject))
)
found <- suppressWarnings(predictInterval(fit, new, level = 0.9, n.sims = 20000, stat = "mean"))
cat(toJSON(list(
  merTools = as.character(packageVersion("merTools")), level = 0.9, days = new$Days, subject = as.character(new$Subject),
  fit = found$fit, lower = found$lwr, upper = found$upr
), digits = NA, auto_unbox = TRUE), "\n")

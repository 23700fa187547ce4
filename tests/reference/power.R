# Power by simulation, and responses simulated from parameters: Rscript power.R power.json
#
# `power`: 20 groups of 8 rows, a covariate x of -3.5 to 3.5 within each, and an arm that alternates between groups. Data are drawn and
# fitted 2000 times; the shares of p-values below 0.05 by lmerTest (Satterthwaite), and by a likelihood-ratio test of arm.
# `simulate`: the first responses of lme4's simulate() for stated parameters and seeds.

suppressMessages({
  library(lme4)
  library(lmerTest)
  library(jsonlite)
})

set.seed(20)
n_groups <- 20
size <- 8
replicates <- 2000
frame <- data.frame(
  g = factor(rep(seq_len(n_groups), each = size)),
  x = rep(seq_len(size) - 4.5, n_groups),
  arm = rep(rep(c(0, 1), n_groups / 2), each = size)
)
sd_intercept <- 1.2
sd_slope <- 0.3
correlation <- 0.4
root <- t(chol(matrix(c(1, correlation, correlation, 1), 2)))

p_values <- matrix(NA, replicates, 3, dimnames = list(NULL, c("arm", "x", "lrt")))
for (i in seq_len(replicates)) {
  b <- t(root %*% matrix(rnorm(2 * n_groups), 2)) %*% diag(c(sd_intercept, sd_slope))
  at <- as.integer(frame$g)
  frame$y <- 10 + 1.4 * frame$arm + 0.25 * frame$x + b[at, 1] + b[at, 2] * frame$x + rnorm(nrow(frame), 0, 2)
  fit <- suppressMessages(suppressWarnings(lmerTest::lmer(y ~ arm + x + (1 + x | g), frame)))
  table <- coef(summary(fit))
  p_values[i, c("arm", "x")] <- table[c("arm", "x"), "Pr(>|t|)"]
  full <- suppressMessages(suppressWarnings(lme4::lmer(y ~ arm + x + (1 + x | g), frame, REML = FALSE)))
  small <- suppressMessages(suppressWarnings(lme4::lmer(y ~ x + (1 + x | g), frame, REML = FALSE)))
  p_values[i, "lrt"] <- pchisq(2 * as.numeric(logLik(full) - logLik(small)), 1, lower.tail = FALSE)
}
power <- colMeans(p_values < 0.05, na.rm = TRUE)

first <- function(formula, data, beta, theta, sigma, seed)
  head(simulate(formula, newdata = data, newparams = list(beta = beta, theta = theta, sigma = sigma), seed = seed,
                family = gaussian)[[1]], 10)

result <- list(
  versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
                  lmerTest = as.character(packageVersion("lmerTest"))),
  power = list(replicates = replicates, power = as.list(power), mc_error = as.list(sqrt(power * (1 - power) / replicates))),
  simulate = list(
    sleepstudy = suppressMessages(first(~ Days + (Days | Subject), sleepstudy, c(250, 10), c(1, 0.02, 0.24), 25, 42)),
    InstEval = suppressMessages(first(~ service + (1 | s) + (1 | d), InstEval, c(3, 0.1), c(0.3, 0.5), 1.2, 7))
  )
)
write_json(result, commandArgs(TRUE)[1], digits = NA, auto_unbox = TRUE, pretty = TRUE)

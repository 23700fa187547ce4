# The data sets of the reference fits that lme4 does not distribute: Rscript fixtures.R FOLDER
#
# Some are simulated (each from its own seed), some are public sets of other R packages, some are
# lme4's sets with columns added.

source("tables.R")
suppressMessages({
  library(lme4)
  library(nlme)
  library(mlmRev)
})

# weights, an offset, and two columns that Days determines
sleepstudy_extra <- function() {
  d <- sleepstudy
  i <- seq_len(nrow(d))
  d$w <- 1 + i %% 3
  d$w_fraction <- 0.5 + (i * 7) %% 11 / 4
  d$off <- 2 * d$Days + 5 * (i %% 4)
  d$Days2 <- 2 * d$Days + 1
  d$Days3 <- d$Days^2
  d
}

# 300 groups of 20 rows, five correlated effects: 15 covariance parameters
five_slopes <- function() {
  set.seed(20240501)
  n_groups <- 300
  g <- rep(seq_len(n_groups), each = 20)
  n <- length(g)
  x <- matrix(round(rnorm(n * 4), 4), n, 4, dimnames = list(NULL, paste0("x", 1:4)))
  sd <- c(2, 1, 0.8, 1.2, 0.6)
  correlation <- 0.4^abs(outer(1:5, 1:5, "-"))
  correlation[1, 3] <- correlation[3, 1] <- -0.2
  covariance <- diag(sd) %*% correlation %*% diag(sd)
  b <- matrix(rnorm(n_groups * 5), n_groups, 5) %*% chol(covariance)
  beta <- c(10, 1, -0.5, 2, 0.25)
  y <- rowSums(cbind(1, x) * (b[g, ] + rep(beta, each = n))) + rnorm(n, 0, 1.5)
  data.frame(g = factor(g), x, y)
}

# 40 subjects by 24 items, both conditions once in each pair that is kept; a few answers are lost
subjects_items <- function() {
  set.seed(20240502)
  d <- expand.grid(item = 1:24, subject = 1:40)
  d$cond <- (d$item + d$subject) %% 2 - 0.5
  s <- matrix(rnorm(80), 40, 2) %*% chol(matrix(c(1600, 300, 300, 400), 2))
  w <- matrix(rnorm(48), 24, 2) %*% chol(matrix(c(900, -150, -150, 225), 2))
  d$y <- 500 + 30 * d$cond + s[d$subject, 1] + s[d$subject, 2] * d$cond +
    w[d$item, 1] + w[d$item, 2] * d$cond + rnorm(nrow(d), 0, 50)
  d$subject <- factor(sprintf("s%02d", d$subject))
  d$item <- factor(sprintf("i%02d", d$item))
  d <- d[sort(sample(nrow(d), 900)), c("subject", "item", "cond", "y")]
  rownames(d) <- NULL
  d
}

# pupils in classes in schools, measured up to three times; class and pupil labels recur, a rater is crossed
school_class_pupil <- function() {
  set.seed(20240503)
  d <- expand.grid(occasion = 0:2, pupil = 1:6, class = 1:4, school = 1:14)
  school <- matrix(rnorm(28), 14, 2) %*% chol(matrix(c(9, 1.2, 1.2, 1), 2))
  class_effect <- rnorm(56, 0, 2)[(d$school - 1) * 4 + d$class]
  pupil_effect <- rnorm(336, 0, 1.5)[((d$school - 1) * 4 + d$class - 1) * 6 + d$pupil]
  d$rater <- sample(1:9, nrow(d), replace = TRUE)
  rater_effect <- rnorm(9, 0, 1)[d$rater]
  d$x <- round(rnorm(nrow(d)), 3)
  d$y <- 50 + 2 * d$x + 1.5 * d$occasion + school[d$school, 1] + school[d$school, 2] * d$x +
    class_effect + pupil_effect + rater_effect + rnorm(nrow(d), 0, 2)
  d <- d[sort(sample(nrow(d), 880)), c("school", "class", "pupil", "rater", "occasion", "x", "y")]
  d$school <- factor(paste0("school", d$school), levels = paste0("school", 1:14))
  d$class <- factor(letters[d$class])
  d$pupil <- factor(d$pupil)
  d$rater <- factor(paste0("r", d$rater))
  rownames(d) <- NULL
  d
}

# intercept and slope are proportional, so that the estimated correlation is 1
perfect_correlation <- function() {
  set.seed(20240504)
  g <- rep(1:12, each = 8)
  x <- rep(seq(-1.5, 2, by = 0.5), 12)
  b <- rnorm(12, 0, 2)
  y <- 5 + b[g] + (1 + 0.5 * b[g]) * x + rnorm(length(g), 0, 1)
  data.frame(g = factor(g), x, y)
}

# the slopes vary less than their standard errors: their variance is estimated as zero
zero_slope <- function() {
  set.seed(20240505)
  g <- rep(1:15, each = 10)
  x <- rep(seq(-4.5, 4.5, by = 1), 15)
  e <- rnorm(length(g), 0, 2)
  for (k in 1:15) e[g == k] <- e[g == k] - 0.9 * x[g == k] * sum(e[g == k] * x[g == k]) / sum(x[g == k]^2)
  y <- 3 + 0.7 * x + rnorm(15, 0, 1.5)[g] + e
  data.frame(g = factor(g), x, y)
}

# a year near 2000 and an income near a million whose slope varies between countries
bad_scale <- function() {
  set.seed(20240506)
  country <- rep(1:20, each = 15)
  year <- rep(1996:2010, 20)
  income <- round(1e6 * (3 + 0.05 * (year - 2000) + rep(rnorm(20, 0, 0.5), each = 15) + rnorm(300, 0, 0.8)))
  b <- matrix(rnorm(40), 20, 2) %*% chol(matrix(c(36, 3, 3, 4), 2))
  y <- 20 + 0.3 * (year - 2000) + b[country, 1] + (2 + b[country, 2]) * income / 1e6 + rnorm(300, 0, 1.5)
  data.frame(
    country = factor(country), year = year, income, year_c = as.integer(year - 2000), income_m = income / 1e6, y
  )
}

# ordered factors that only label groups are stored as plain factors with the same order of levels
plain <- function(x) factor(as.character(x), levels = levels(x))

machines <- function() transform(as.data.frame(Machines), Worker = plain(Worker))
oats <- function() transform(as.data.frame(Oats), Block = plain(Block))
rat_pups <- function() transform(as.data.frame(RatPupWeight), Litter = plain(Litter))
orthodont <- function() transform(as.data.frame(Orthodont), Subject = plain(Subject))
exam <- function() {
  d <- Exam[c("school", "normexam", "standLRT", "sex", "type", "schavg")]
  rownames(d) <- NULL
  d
}
scottish_schools <- function() {
  d <- ScotsSec
  rownames(d) <- NULL
  d
}

fixture_sets <- list(
  sleepstudy_extra = sleepstudy_extra(), five_slopes = five_slopes(), subjects_items = subjects_items(),
  school_class_pupil = school_class_pupil(), perfect_correlation = perfect_correlation(), zero_slope = zero_slope(),
  bad_scale = bad_scale(), machines = machines(), oats = oats(), rat_pups = rat_pups(), orthodont = orthodont(),
  exam = exam(), scottish_schools = scottish_schools()
)

if (is_main("fixtures.R"))
  for (name in names(fixture_sets)) write_frame(fixture_sets[[name]], name, output_folder())

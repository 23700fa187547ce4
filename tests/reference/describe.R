# Reference values for descriptive statistics, correlations and centring by level: Rscript describe.R describe.json

source("datasets.R")
source("scenarios.R")
suppressMessages({
  library(psych)
  library(datawizard)
  library(performance)
  library(dplyr)
  library(lme4)
})

# A small frame with everything awkward in it: missing values, ties, categories, unbalanced groups, singletons.
small <- data.frame(
  g = c("a", "a", "a", "a", "b", "b", "b", "b", "b", "c", "c", "c", "d", "e", "e", "e", "e", "e", "e", "e"),
  h = rep(c("u", "v"), 10),
  x = c(1, 4, 2, 8, 5, 7, 1, 2, NA, 3.5, 2, 9, 4.25, 6, 5.5, NA, 2, 1, 0.5, 7.75),
  y = c(3, 1, NA, 6, 3, 2, 2, 5, 4, 4, 8, 7, 0.25, 9, 1, 3, 3.5, 2, 2, 6),
  z = c(2.5, 2.5, 2.5, 2.5, -1, -1, -1, -1, -1, 4, 4, 4, 0, 3, 3, 3, 3, 3, 3, 3),
  w = c(1, 2, 1, 3, 2, 1, 1, 4, 2, 2, 1, 3, 1, 2, 2, 1, 1, 3, 2, 1),
  f = factor(c("low", "high", "mid", "low")[rep(c(1, 2, 3, 4, 2), 4)], levels = c("low", "mid", "high")),
  stringsAsFactors = FALSE
)
complete <- small[!is.na(small$x) & !is.na(small$y), ]

table_of <- function(x) {
  x <- as.data.frame(x)
  list(rows = I(rownames(x)), columns = I(names(x)), values = lapply(seq_len(nrow(x)), function(i) {
    I(as.numeric(unlist(x[i, ])))
  }))
}
matrix_of <- function(x) lapply(seq_len(nrow(x)), function(i) I(unname(x[i, ])))
described <- function(frame, ...) table_of(as.data.frame(suppressWarnings(describe(frame, ...))))
described_by <- function(frame, by) {
  found <- as.data.frame(suppressWarnings(describeBy(frame, by, mat = TRUE)))
  groups <- grep("^group", names(found), value = TRUE)
  list(
    groups = lapply(seq_len(nrow(found)), function(i) I(as.character(unlist(found[i, groups])))),
    values = table_of(found[setdiff(names(found), c("item", groups))])
  )
}
tested <- function(x, y, method, ...) {
  found <- suppressWarnings(cor.test(x, y, method = method, ...))
  list(
    estimate = unname(found$estimate), statistic = unname(found$statistic), p = found$p.value,
    interval = if (is.null(found$conf.int)) NULL else I(as.numeric(found$conf.int))
  )
}

# Rank tests around the sizes where R changes its method. The numbers come from a recurrence, so that Python can make them too.
ranked <- function(n) {
  i <- seq_len(n)
  list(x = (i * 0.618033988749894902525738871191) %% 1, y = (i * 0.414213562373095145474621858739 + 0.1 * i / n) %% 1)
}
rank_tests <- lapply(c(3, 4, 5, 8, 9, 10, 30, 49, 50, 51, 200, 1289, 1290, 1500), function(n) {
  d <- ranked(n)
  list(n = n, spearman = tested(d$x, d$y, "spearman"), kendall = tested(d$x, d$y, "kendall"))
})

one_way <- function(x, g) {
  kept <- !is.na(x)
  x <- x[kept]
  g <- factor(g[kept])
  table <- anova(lm(x ~ g))
  sizes <- as.numeric(table(g))
  n0 <- (sum(sizes) - sum(sizes^2) / sum(sizes)) / (length(sizes) - 1)
  between <- table[1, "Mean Sq"]
  within <- table[2, "Mean Sq"]
  list(
    n = length(x), n_groups = length(sizes), group_size = n0, mean_square_between = between, mean_square_within = within,
    statistic = table[1, "F value"], p = table[1, "Pr(>F)"], icc1 = (between - within) / (between + (n0 - 1) * within),
    icc2 = (between - within) / between
  )
}
stats_by <- function(frame, by) {
  found <- suppressWarnings(statsBy(frame, by, cors = FALSE))
  names <- setdiff(names(frame), by)
  list(
    names = I(names), rwg = matrix_of(found$rwg), rbg = matrix_of(found$rbg), icc1 = I(unname(found$ICC1[names])),
    icc2 = I(unname(found$ICC2[names])), p_between = matrix_of(found$pbg)
  )
}
numbers <- function(frame) lapply(as.list(frame), function(x) I(as.numeric(x)))
reml <- function(formula, frame) {
  found <- as.data.frame(VarCorr(lmer(formula, frame)))
  list(groups = I(found$grp), variances = I(found$vcov))
}

s1 <- scenario_sets$scenario_1
s3 <- scenario_sets$scenario_3
quartiles <- c(0.1, 0.25, 0.5, 0.75, 0.9)
pastes <- as.data.frame(Pastes)

result <- list(
  versions = list(
    R = as.character(getRversion()), psych = as.character(packageVersion("psych")),
    datawizard = as.character(packageVersion("datawizard")), performance = as.character(packageVersion("performance")),
    dplyr = as.character(packageVersion("dplyr")), lme4 = as.character(packageVersion("lme4"))
  ),
  small = lapply(as.list(small), function(x) I(if (is.factor(x)) as.character(x) else x)),
  describe = list(
    scenarios = lapply(scenario_sets, described, IQR = TRUE, quant = quartiles),
    small = described(small),
    cake = described(as.data.frame(cake)),
    types = lapply(1:3, function(type) described(complete[c("x", "y", "z")], type = type)),
    trims = lapply(c(0, 0.05, 0.2, 0.45, 0.5), function(trim) {
      list(trim = trim, values = described(s1[c("x1", "y")], trim = trim))
    })
  ),
  describe_by = list(
    scenario_1 = described_by(s1[c("x1", "y")], s1$x2),
    small = described_by(small[c("x", "y")], list(small$g, small$h))
  ),
  covariance = list(
    scenario_1 = matrix_of(cov(s1[c("x1", "x2", "y")])),
    pairwise = matrix_of(cov(small[c("x", "y", "z")], use = "pairwise")),
    complete = matrix_of(cov(small[c("x", "y", "z")], use = "complete"))
  ),
  correlation = list(
    scenario_1 = matrix_of(cor(s1[c("x1", "x2", "y")])),
    scenario_1_test = tested(s1$x1, s1$y, "pearson"),
    by_x2 = lapply(0:1, function(v) tested(s1$x1[s1$x2 == v], s1$y[s1$x2 == v], "pearson", conf.level = 0.9)),
    pairwise = lapply(c(pearson = "pearson", spearman = "spearman", kendall = "kendall"), function(method) {
      matrix_of(cor(small[c("x", "y", "z")], use = "pairwise", method = method))
    }),
    tests = lapply(c(pearson = "pearson", spearman = "spearman", kendall = "kendall"), function(method) {
      tested(small$x, small$y, method)
    }),
    ranks = rank_tests
  ),
  stats_by = list(
    scenario_1 = stats_by(s1[c("k_id", "x1", "x2", "y")], "k_id"),
    unbalanced = stats_by(complete[c("g", "x", "y", "w")], "g")
  ),
  one_way = list(
    scenario_1 = lapply(s1[c("x1", "x2", "y")], one_way, s1$k_id),
    small = lapply(small[c("x", "y", "w")], one_way, small$g)
  ),
  reml = list(
    x1 = reml(y ~ 1 + (1 | k_id), s1),
    pastes = reml(strength ~ 1 + (1 | batch) + (1 | batch:cask), pastes)
  ),
  group_summary = list(
    scenario_1 = s1 %>% group_by(x2) %>% summarise(
      n = n(), mean = mean(y), sd = sd(y), se = sd(y) / sqrt(n()), min = min(y), median = median(y), max = max(y),
      mad = mad(y), iqr = IQR(y), var = var(y), sum = sum(y), q9 = unname(quantile(y, 0.9))
    ) %>% table_of(),
    small = suppressWarnings(small %>% group_by(g, h) %>% summarise(
      n_rows = n(), n = sum(!is.na(x)), mean = mean(x, na.rm = TRUE), sd = sd(x, na.rm = TRUE),
      median = median(x, na.rm = TRUE), .groups = "drop"
    )) %>% select(-g, -h) %>% table_of()
  ),
  demean = list(
    scenario_3 = lapply(numbers(demean(s3, "x1", group = "k_id")), function(x) I(x[seq(1, 5000, by = 97)])),
    small = numbers(suppressMessages(demean(small, c("x", "z", "f"), group = "g")))
  ),
  standardize = list(
    plain = numbers(standardize(small[c("x", "y", "z", "w")])),
    robust = numbers(standardize(small[c("x", "y", "z", "w")], robust = TRUE)),
    two_sd = numbers(standardize(small[c("x", "y", "z", "w")], two_sd = TRUE)),
    weighted = numbers(standardize(small[c("y", "z")], weights = small$w)),
    by = numbers(standardize(data_group(small[c("h", "x", "y")], "h"))[c("x", "y")])
  ),
  heterogeneity = list(
    small = I(as.character(check_heterogeneity_bias(small[c("g", "x", "z", "w")], select = c("x", "z", "w"), group = "g"))),
    scenario_2 = I(as.character(check_heterogeneity_bias(
      scenario_sets$scenario_2, select = c("x1", "x2", "price"), group = "k_id"
    )))
  )
)

write_json(result, commandArgs(TRUE)[1], digits = I(17), auto_unbox = TRUE, na = "null", null = "null")

# How R prints: Rscript r_printing.R r_printing.json
#
# Numbers, p-values and short names of many kinds, and the printed fits of some of the reference cases.

output <- file.path(getwd(), commandArgs(TRUE)[1])
setwd("../reference")
source("lmm_fits.R")
options(width = 80, digits = 7, useFancyQuotes = FALSE, OutDec = ".")
set.seed(2)

exact <- function(x) I(sprintf("%.17g", x))
sample_numbers <- function() {
  n <- sample(1:6, 1)
  x <- signif(rnorm(n) * 10^sample(-6:7, n, TRUE), sample(1:9, 1))
  if (runif(1) < 0.1) x[1] <- 0
  if (runif(1) < 0.1) x[n] <- NaN
  digits <- sample(1:7, 1)
  list(values = exact(x), digits = digits, text = I(format(x, digits = digits)))
}
sample_p_values <- function() {
  n <- sample(1:6, 1)
  p <- 10^-runif(n, 0, sample(c(1, 3, 6, 20), 1))
  list(values = exact(p), text = I(format.pval(p, digits = 3)))
}
letters_of_names <- c(letters, letters, LETTERS, 0:9, "_", ".", ":", "(", ")", "^")
random_name <- function() paste(sample(letters_of_names, sample(3:25, 1), TRUE), collapse = "")
names_of_terms <- c(
  "(Intercept)", "interv_label1", "interv_label2", "x1_c:interv_label1", "recipeB:temperature.L", "I(x^2)",
  "log(price + 1)", "poly(age, 3)1", "poly(age, 3)2", "factor(Month)Jan", "factor(Month)June", "log(xy + 10)",
  "ns(x, df = 3)1", "ns(x, df = 3)2", "scale(income):treatmentYes", "a name of many words"
)
random_names <- unique(replicate(60, random_name()))
shorten <- function(names) list(names = names, six = unname(abbreviate(names, 6)), eleven = unname(abbreviate(names, 11)))

print_case <- function(name) {
  reml <- grepl("_reml$", name)
  case <- Filter(function(case) case$name == sub("_(reml|ml)$", "", name), cases)[[1]]
  fit <- lmerTest::as_lmerModLmerTest(fit_case(case, reml))
  fit@call$control <- NULL
  printed <- function(x) I(suppressMessages(capture.output(print(x))))
  list(summary = printed(summary(fit)), short = printed(fit), varcorr = printed(VarCorr(fit)))
}
printed_cases <- c(
  "sleepstudy_reml", "sleepstudy_ml", "pastes_sample_reml", "cake_reml", "cake_temp_reml", "scenario_1_reml",
  "scenario_3_with_mean_reml", "scenario_4_model_1_reml", "scenario_4_model_2_ml", "scenario_4_model_3_reml",
  "scenario_4_model_4_reml", "scenario_4_model_5_reml", "five_slopes_reml", "subjects_items_reml",
  "nested_crossed_ml", "weights_and_offset_ml", "rank_deficient_reml", "dyestuff2_reml", "perfect_correlation_reml",
  "rat_pups_sex_ml", "exam_type_reml"
)

write_json(
  list(
    numbers = replicate(120, sample_numbers(), simplify = FALSE),
    p_values = replicate(60, sample_p_values(), simplify = FALSE),
    short_names = list(shorten(names_of_terms), shorten(random_names)),
    printed = setNames(lapply(printed_cases, print_case), printed_cases)
  ),
  output, auto_unbox = TRUE, digits = NA, pretty = 1
)

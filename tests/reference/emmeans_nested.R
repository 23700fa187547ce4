# Marginal means of factors that are nested in others, and of responses that are transformed: R's emmeans.
# Rscript emmeans_nested.R emmeans_nested.json

source("tables.R")
source("fitting.R")
source("emmeans_answers.R")

set.seed(4)
cells <- data.frame(
  region = rep(c("A", "B"), c(4, 3)), town = c("p", "p", "p", "q", "r", "s", "s"), street = paste0("c", 1:7),
  houses = c(5, 12, 18, 8, 30, 12, 18)
)
rows <- rep(1:7, cells$houses)
n <- length(rows)
data <- cells[rows, 1:3]
data$door <- ifelse(data$region == "A", as.integer(sub("c", "", data$street)), as.integer(sub("c", "", data$street)) - 4)
data$house <- paste0(data$region, rbinom(n, 1, 0.5))
data$kind <- c("u", "v")[rbinom(n, 1, 0.4) + 1]
data$kind[data$street == "c1"] <- "u"
data$code <- ifelse(data$region == "A", "z1", "z2")
data$site <- rep_len(1:9, n)
data$x <- round(rnorm(n, 3), 3)
effect <- 5 + (data$region == "B") + 2 * as.integer(sub("c", "", data$street))^1.5 + 0.5 * data$x + (data$kind == "u")
data$y <- round(effect + rnorm(9)[data$site] + rnorm(n), 4)
data$share <- data$y / 100
used <- transform(data, site = factor(site), door = factor(door))
for (name in c("region", "town", "street", "house", "kind", "code")) used[[name]] <- factor(used[[name]])

all_weights <- function(specs) lapply(c("equal", "proportional", "outer", "cells"), function(w) means(specs, weights = w))
nested <- list(
  one_in_one = list(formula = "y ~ region + street + kind + (1 | site)", asked = c(
    all_weights("region"), all_weights("kind"), all_weights("street"), all_weights(c("region", "kind")),
    list(
      means("kind", by = "region"), means("street", by = "region"), means("street", by = "kind"),
      then(means("street"), method = "pairwise"), then(means("street", by = "region"), method = "pairwise"),
      then(means("street"), method = "eff"), then(means("region"), method = "pairwise"),
      then(means(c("street", "kind")), method = "pairwise")
    )
  )),
  three_deep = list(formula = "y ~ region + town + street + kind + x + (1 | site)", asked = list(
    means("region"), means("town"), means("street"), means("kind"), means(c("town", "kind")), means("street", by = "region"),
    means("street", by = "town"), means("kind", by = "town"), means("region", weights = "cells"), means("town", weights = "cells"),
    means("kind", weights = "cells"), then(means("town"), method = "pairwise"),
    then(means("street", by = "region"), method = "pairwise")
  )),
  three_deep_written = list(formula = "y ~ region / town / street + region:x + x + (1 | site)", asked = list(
    means("region"), means("town"), trends("region", var = "x"), trends("town", var = "x"),
    means("region", at = list(x = c(2, 4))), means("street", by = "x", at = list(x = c(2, 4)))
  )),
  two_in_one = list(formula = "y ~ region + street + house + (1 | site)", asked = list(
    means("region"), means("street"), means("house"), means(c("street", "house")), means("region", weights = "proportional"),
    means("region", weights = "cells"), means("street", weights = "proportional")
  )),
  labels_used_again = list(formula = "y ~ region / door + kind + (1 | site)", asked = c(
    all_weights("region"), all_weights("kind"), list(means("door"), means("door", by = "region"), then(means("door"), method = "pairwise"))
  )),
  written_alone = list(formula = "y ~ region / kind + (1 | site)", asked = list(means("kind"), means("region"))),
  crossed = list(formula = "y ~ region:kind + (1 | site)", asked = list(means("kind"), means("region"))),
  one_and_the_same = list(formula = "y ~ region + code + kind + (1 | site)", asked = list(
    means("region"), means("code"), means("kind"), then(means("region"), method = "pairwise")
  )),
  levels_left_out = list(formula = "y ~ region + street + kind + (1 | site)", asked = list(
    means("region", at = list(street = c("c1", "c2", "c5")))
  )),
  scaled = list(formula = "scale(y) ~ kind + (1 | site)", asked = list(
    means("kind", type = "response"), then(means("kind", type = "response"), method = "pairwise")
  )),
  centred = list(formula = "scale(y, scale = FALSE) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  divided = list(formula = "scale(y, center = FALSE) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  arc_sine = list(formula = "asin(sqrt(share)) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  doubled = list(formula = "2 * log(y) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  twice_a_root = list(formula = "2 * sqrt(y) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  exponential = list(formula = "exp(share) ~ kind + (1 | site)", asked = list(means("kind", type = "response"))),
  two_logarithm = list(formula = "log2(y) ~ kind + (1 | site)", asked = list(
    means("kind", type = "response"), then(means("kind", type = "response"), method = "pairwise")
  ))
)

if (is_main("emmeans_nested.R")) {
  results <- lapply(names(nested), function(name) {
    model <- c(nested[[name]], list(data = used, name = name))
    fit <- quietly(lmerTest::as_lmerModLmerTest(fit_case(model, TRUE)))
    list(name = name, formula = model$formula, asked = lapply(model$asked, function(one) {
      found <- try(answer(fit, one))
      if (inherits(found, "try-error")) stop(name, ": ", deparse(one))
      found
    }))
  })
  written <- list(
    versions = package_versions(c("lme4", "lmerTest", "emmeans")), data = lapply(data, I), models = results
  )
  write_json(written, commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

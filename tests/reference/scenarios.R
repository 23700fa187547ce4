# The four scenarios: Rscript scenarios.R FOLDER
#
# 100 clusters of 50 rows. Every scenario starts from set.seed(123) with R's default generators
# (Mersenne-Twister, Inversion, Rejection); the draws come in the order in which they stand here.

source("tables.R")

n_clusters <- 100
cluster_size <- 50
n_rows <- n_clusters * cluster_size
k_id <- rep(1:n_clusters, each = cluster_size)
N_id <- 1:n_rows

scenario_1 <- function() {
  set.seed(123)
  x1 <- rnorm(n_rows, 5, 2)
  x2 <- rbinom(n_rows, 1, 0.5)
  k_effect <- rep(rnorm(n_clusters, 0, 1), each = cluster_size)
  y <- 45 + 3 * x1 + 10 * x2 + k_effect + rnorm(n_rows, 0, 8)
  data.frame(k_id, N_id, x1, x2, k_effect, y)
}

scenario_2 <- function() {
  set.seed(123)
  x1 <- rnorm(n_rows, 5, 2)
  x2 <- rbinom(n_rows, 1, 0.5)
  k_effect <- rep(rnorm(n_clusters, 0, 1), each = cluster_size)
  price <- rep(round(runif(n_clusters, 0, 5)), each = cluster_size)
  y <- 45 + 3 * x1 + 10 * x2 - 3 * price + k_effect + rnorm(n_rows, 0, 8)
  data.frame(k_id, N_id, x1, x2, price = as.integer(price), k_effect, y)
}

scenario_3 <- function() {
  set.seed(123)
  x1 <- rnorm(n_rows, 5, 2)
  x2 <- rbinom(n_rows, 1, 0.5)
  k_effect <- rep(rnorm(n_clusters, 0, 1), each = cluster_size)
  x1_mean <- ave(x1, k_id)
  y <- 45 + 3 * x1 + 10 * x2 + 12 * x1_mean + k_effect + rnorm(n_rows, 0, 8)
  data.frame(k_id, N_id, x1, x2, x1_mean, k_effect, y)
}

scenario_4 <- function() {
  set.seed(123)
  x1_c <- rnorm(n_rows, 0, 2)
  x2 <- rbinom(n_rows, 1, 0.5)
  interv <- rep(sample(0:2, n_clusters, replace = TRUE, prob = c(1, 1, 1) / 3), each = cluster_size)
  interv_label <- factor(c("No Intv", "Mindfulness", "CBT")[interv + 1], levels = c("CBT", "Mindfulness", "No Intv"))
  k_effect <- rep(rnorm(n_clusters, 0, 2.5), each = cluster_size)
  k_slope <- rep(rnorm(n_clusters, 0, 2), each = cluster_size) + 4 * interv
  y <- 45 + (3 + k_slope) * x1_c + 10 * x2 + k_effect + rnorm(n_rows, 0, 8)
  data.frame(k_id, N_id, x1_c, x2, interv, interv_label, k_effect, k_slope, y)
}

scenario_sets <- list(
  scenario_1 = scenario_1(), scenario_2 = scenario_2(), scenario_3 = scenario_3(), scenario_4 = scenario_4()
)

# The contrast matrix that the tutorial gives to interv_label: columns (1, 0, 0) and (0, 1, 0).
interv_contrasts <- matrix(
  c(1, 0, 0, 0, 1, 0), 3, 2,
  dimnames = list(c("CBT", "Mindfulness", "No Intv"), c("1", "2"))
)

if (is_main("scenarios.R"))
  for (name in names(scenario_sets)) write_frame(scenario_sets[[name]], name, output_folder())

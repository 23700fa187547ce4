# Writes formula_rank.json: which columns of nearly dependent designs R's qr keeps, as lme4 asks it.
# Run in this directory: Rscript formula_rank.R
library(jsonlite)
set.seed(7)
cases <- list()
for (noise in c(0, 1e-12, 1e-9, 2e-8, 5e-7, 1e-5)) {
  for (shift in c(0, 1e3)) {
    n <- 40
    a <- round(rnorm(n), 3) + shift
    b <- round(rnorm(n), 3)
    e <- round(rnorm(n), 3)
    X <- cbind(1, a, b, a + b + noise * e * sqrt(n), 3, b * 1e-8, a * b, e, a - b * 2, 0, e^2)
    q <- qr(X, tol = 1e-7, LAPACK = FALSE)
    cases[[length(cases) + 1]] <- list(noise = noise, shift = shift, values = I(as.vector(X)), kept = I(q$pivot[seq_len(q$rank)]))
  }
}
# More columns than rows.
wide <- matrix(round(rnorm(20), 3), 4)
q <- qr(wide, tol = 1e-7, LAPACK = FALSE)
cases[[length(cases) + 1]] <- list(noise = NULL, shift = NULL, values = I(as.vector(wide)), kept = I(q$pivot[seq_len(q$rank)]), rows = 4)
write(toJSON(cases, digits = NA, auto_unbox = TRUE), "formula_rank.json")

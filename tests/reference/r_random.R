# Reference values for R's random numbers: Rscript r_random.R r_random.json
#
# A stream is a seed and calls made one after the other. Of each call's numbers some are kept, with sums that tell the order;
# a uniform number drawn at the end tells whether the stream is where it should be. Arguments have the names that RRandom gives them.

suppressMessages(library(jsonlite))
source("tables.R")

draw <- list(
  uniform = function(n, low = 0, high = 1) runif(n, low, high),
  normal = function(n, mean = 0, sd = 1) rnorm(n, mean, sd),
  exponential = function(n, rate = 1) rexp(n, rate),
  binomial = function(n, size, prob) rbinom(n, size, prob),
  poisson = function(n, lam) rpois(n, lam),
  gamma = function(n, shape, rate = 1, scale = 1 / rate) rgamma(n, shape, scale = scale),
  beta = function(n, shape1, shape2) rbeta(n, shape1, shape2),
  chisq = function(n, df) rchisq(n, df),
  t = function(n, df) rt(n, df),
  sample = function(x, size = x, replace = FALSE, prob = NULL) sample.int(x, size, replace, prob),
  integers = function(n, low, high) low - 1 + sample.int(high - low, n, replace = TRUE),
  permutation = function(x) sample.int(x) - 1
)

describe <- function(x) {
  x <- as.double(x)
  x[is.na(x)] <- NaN
  kept <- unique(round(seq(1, length(x), length.out = min(length(x), 6))))
  finite <- ifelse(is.finite(x), x, 0)
  list(
    length = length(x), positions = I(kept - 1), values = I(x[kept]), nan = sum(is.nan(x)),
    sum = sum(finite), ordered_sum = sum(finite * (seq_along(x) %% 7 + 1)), size = sum(abs(finite))
  )
}

start <- function(seed, kind) suppressWarnings(
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = kind)
)

# toJSON() writes 15 digits; numbers that need more become text.
exact <- function(x) {
  if (is.list(x)) return(lapply(x, exact))
  if (!is.double(x) || isTRUE(all(as.double(sprintf("%.15g", x)) == x))) return(x)
  text <- sprintf("%.17g", x)
  if (inherits(x, "AsIs")) I(text) else text
}

seed <- 0
stream <- function(..., kind = "Rejection") {
  seed <<- seed + 1
  start(seed, kind)
  calls <- lapply(list(...), function(call) {
    numbers <- suppressWarnings(do.call(draw[[call[[1]]]], call[-1]))
    c(list(method = call[[1]], arguments = call[-1]), describe(numbers))
  })
  list(seed = seed, kind = tolower(kind), calls = calls, after = runif(1))
}

n <- 3000
grid <- function(method, ...) {
  table <- expand.grid(..., KEEP.OUT.ATTRS = FALSE)
  lapply(seq_len(nrow(table)), function(i) stream(c(list(method, n = n), as.list(table[i, , drop = FALSE]))))
}

distributions <- c(
  grid("uniform", low = c(0, -3), high = c(1, 5)),
  list(stream(list("normal", n = 20000), list("uniform", n = 20000), list("exponential", n = 20000))),
  grid("normal", mean = c(0, 5), sd = c(1, 1e-3, 2.5)),
  grid("exponential", rate = c(0.2, 1, 3)),
  grid("binomial", size = c(1, 2, 10, 61, 200, 1000, 12345, 1e6, 1e8), prob = c(1e-4, 0.03, 0.2, 0.49, 0.5, 0.7, 0.995)),
  grid("poisson", lam = c(1e-3, 0.5, 1, 2.5, 5, 8.3, 9.999, 10, 10.5, 15, 40, 1e3, 1e6, 1e12)),
  grid("gamma", shape = c(1e-3, 0.2, 0.999, 1, 1.5, 3.686, 3.7, 13.022, 13.1, 200, 1e6), scale = c(1, 2.5)),
  list(stream(list("gamma", n = n, shape = 2, rate = 4))),
  grid("beta", shape1 = c(1e-3, 0.5, 1, 1.1, 3, 500), shape2 = c(0.02, 0.5, 1, 2, 3, 80)),
  grid("chisq", df = c(0.1, 1, 2, 3.3, 7, 30, 1e4)),
  grid("t", df = c(0.3, 1, 2, 4.5, 30, 1e5, Inf))
)

ties <- function(k) rep(1, k)
uneven <- function(k) (seq_len(k) * 7919) %% 101 + 0.5
samples <- c(
  lapply(c(1, 2, 3, 10, 15, 16, 17, 100, 255, 256, 257, 1000, 65535, 65536, 65537), function(x) {
    stream(
      list("sample", x = x), list("permutation", x = x), list("sample", x = x, size = 100, replace = TRUE),
      list("sample", x = x, size = 1), list("sample", x = x, size = 0), list("integers", n = 50, low = -5, high = x)
    )
  }),
  lapply(c(1e6, 1e7, 1e7 + 1, 2^31 - 1, 2^31, 2^32, 2^32 + 1, 1e12, 2^48, 2^48 + 1), function(x) {
    if (x <= 1e7) stream(list("sample", x = x, size = 200), list("sample", x = x, size = 200, replace = TRUE))
    else stream(list("sample", x = x, size = 5000), list("sample", x = x, size = 200, replace = TRUE))
  }),
  lapply(list(ties(3), ties(2), 1, c(0.1, 0.4, 0.2, 0.3), c(0, 1, 0, 2, 3, 0), ties(30), uneven(30), uneven(150), ties(200)), function(p) {
    stream(
      list("sample", x = length(p), size = 100, replace = TRUE, prob = p),
      list("sample", x = length(p), size = sum(p > 0), prob = p), list("sample", x = length(p), size = 1, prob = p)
    )
  }),
  lapply(list(ties(201), uneven(201), uneven(1000), c(rep(0, 50), uneven(250)), c(rep(1e-5, 400), uneven(200))), function(p) {
    stream(
      list("sample", x = length(p), size = 500, replace = TRUE, prob = p), list("sample", x = length(p), size = 150, prob = p)
    )
  }),
  list(
    stream(
      list("sample", x = 10), list("sample", x = 100, size = 200, replace = TRUE), list("integers", n = 50, low = 0, high = 17),
      list("sample", x = 2^25, size = 50, replace = TRUE), list("sample", x = 2^25 - 1, size = 50, replace = TRUE),
      list("sample", x = 1e9, size = 50), list("sample", x = 2^31 - 1, size = 50), list("sample", x = 2^31, size = 50),
      list("sample", x = 1e12, size = 50, replace = TRUE), list("sample", x = 4, size = 40, replace = TRUE, prob = c(1, 2, 3, 4)),
      list("sample", x = 300, size = 400, replace = TRUE, prob = uneven(300)), list("sample", x = 300, size = 40, prob = uneven(300)),
      kind = "Rounding"
    )
  )
)

# Vectors are recycled; some elements are degenerate and take nothing from the stream, some have no distribution.
recycled <- list(
  stream(list("uniform", n = 20, low = c(0, 1, 5, -Inf, NaN), high = c(1, 2, 5))),
  stream(list("uniform", n = 20, low = c(0, 2), high = 1)),
  stream(list("normal", n = 100, mean = 1:3, sd = c(1, 10))),
  stream(list("normal", n = 30, mean = c(0, 1, Inf, -Inf, NaN), sd = c(1, 0, -1, Inf, 2, NaN, 3))),
  stream(list("normal", n = 9, mean = 4, sd = 0)),
  stream(list("exponential", n = 30, rate = c(1, 0, Inf, -1, NaN, 4, 2))),
  stream(list("binomial", n = 200, size = c(1, 10, 1000), prob = c(0.1, 0.5, 0.99, 0, 1))),
  stream(list("binomial", n = 40, size = c(0, 5, 2.5, -1, Inf, NaN, 100), prob = c(0.3, 0.6, -0.1, 1.1, NaN))),
  stream(list("poisson", n = 200, lam = c(0, 0.5, 12, 9, 12, 1e4))),
  stream(list("poisson", n = 40, lam = c(3, NaN, -1, Inf, 30, 0))),
  stream(list("gamma", n = 200, shape = c(0.3, 1, 30, 5), scale = c(1, 0, 2))),
  stream(list("gamma", n = 100, shape = c(0, -1, Inf, NaN, 2, 0.5, 3), scale = c(1, -1, 0, Inf, NaN, 2))),
  stream(list("beta", n = 200, shape1 = c(0.3, 1, 30, 5), shape2 = c(0.3, 4, 2))),
  stream(list("beta", n = 100, shape1 = c(0, 1, Inf, NaN, -1, 2), shape2 = c(0, 2, Inf, 0.5, -1, NaN, 0))),
  stream(list("chisq", n = 60, df = c(0, 1, Inf, -1, NaN, 5))),
  stream(list("t", n = 60, df = c(0, 1, Inf, -1, NaN, 5)))
)

# Everything in turn on one stream, with lengths that end within blocks, and parameters that change from call to call.
turns <- list()
for (turn in 1:6) turns <- c(turns, list(
  list("normal", n = 101 * turn, mean = turn, sd = 2), list("binomial", n = 55, size = 1, prob = 0.5),
  list("sample", x = 37), list("uniform", n = 7 * turn, low = 0, high = 5), list("poisson", n = 33, lam = 3 * turn),
  list("gamma", n = 21, shape = turn / 2, scale = 1), list("binomial", n = 21, size = 100 * turn, prob = 0.35),
  list("sample", x = 3, size = 77, replace = TRUE, prob = ties(3) / 3), list("exponential", n = 13, rate = turn),
  list("beta", n = 19, shape1 = turn / 3, shape2 = 1.5), list("t", n = 11, df = turn), list("chisq", n = 11, df = turn),
  list("integers", n = 29, low = 1, high = 1000 * turn), list("permutation", x = 11), list("normal", n = 1)
))
interleaved <- list(do.call(stream, turns), do.call(stream, rev(turns)), do.call(stream, c(turns, kind = "Rounding")))

states <- lapply(list(c(123, 0), c(123, 1), c(123, 623), c(123, 624), c(123, 625), c(0, 5), c(-1, 5), c(2147483647, 5), c(-2147483647, 5)), function(s) {
  start(s[1], "Rejection")
  runif(s[2])
  state <- .Random.seed
  list(seed = s[1], drawn = s[2], state = state, after = runif(3))
})
start(5, "Rounding")
rounding <- list(state = .Random.seed, after = sample(1000, 5))

if (is_main("r_random.R")) {
  p <- c(10^-c(1, 2, 3, 5, 8, 10, 10.86, 11, 14, 18, 50, 300), seq(0.001, 0.999, length.out = 120), 0.075, 0.925, 1 - 10^-c(3, 8, 12, 15))
  write_json(
    exact(list(
      version = R.version.string, quantiles = list(p = p, value = qnorm(p)), states = states, rounding = rounding,
      streams = c(distributions, samples, recycled, interleaved)
    )),
    commandArgs(TRUE)[1], auto_unbox = TRUE, digits = NA, na = "string"
  )
}

# Predictions, simulations, leverages and conditional modes by lme4: Rscript predict.R predict.json
source("fitting.R")
control <- lmerControl(optimizer = polished, calc.derivs = FALSE)
fit <- function(formula, data, ...) suppressMessages(lme4::lmer(as.formula(formula), data, control = control, ...))
Machines <- as.data.frame(nlme::Machines)
Machines$Worker <- as.character(Machines$Worker)
Machines$Machine <- as.character(Machines$Machine)
irises <- iris
irises$Species <- as.character(irises$Species)
cakes <- cake
cakes$weight <- 1 + (seq_len(nrow(cake)) %% 3)

# Standard errors by the dense formulas: the covariance of (beta, u), given theta and sigma.
standard_errors <- function(m) {
  X <- getME(m, "X"); U <- as.matrix(getME(m, "Z") %*% getME(m, "Lambda")); w <- weights(m)
  q <- ncol(U)
  W <- cbind(U, X)
  M <- crossprod(W * sqrt(w))
  M[1:q, 1:q] <- M[1:q, 1:q] + diag(q)
  list(
    conditional = sigma(m) * sqrt(rowSums((W %*% solve(M)) * W)),
    marginal = sqrt(rowSums((X %*% as.matrix(vcov(m))) * X))
  )
}

models <- list(
  sleepstudy = list(fit = fit("Reaction ~ Days + (Days | Subject)", sleepstudy), parts = c("~(1 | Subject)", "~(0 + Days | Subject)")),
  uncorrelated = list(fit = fit("Reaction ~ Days + (Days || Subject)", sleepstudy), parts = c("~(1 | Subject)", "~(0 + Days | Subject)")),
  penicillin = list(fit = fit("diameter ~ 1 + (1 | plate) + (1 | sample)", Penicillin), parts = c("~(1 | plate)", "~(1 | sample)")),
  machines = list(fit = fit("score ~ Machine + (1 | Worker/Machine)", Machines), parts = c("~(1 | Worker)", "~(1 | Machine:Worker)")),
  cake = list(fit = lme4::lmer(angle ~ recipe * temp + (1 | recipe:replicate), cakes, weights = weight, control = control), parts = c("~(1 | recipe:replicate)")),
  iris = list(fit = fit("Petal.Width ~ Sepal.Length + (1 | Species)", irises), parts = c("~(1 | Species)"))
)
found <- lapply(models, function(m) {
  f <- m$fit
  errors <- standard_errors(f)
  modes <- as.data.frame(ranef(f, condVar = TRUE))
  list(
    all = unname(predict(f)),
    none = unname(predict(f, re.form = NA)),
    parts = setNames(lapply(m$parts, function(part) unname(predict(f, re.form = as.formula(part)))), m$parts),
    conditional_error = unname(errors$conditional), marginal_error = unname(errors$marginal),
    leverage = unname(hatvalues(f)), cooks_distance = unname(cooks.distance(f)),
    weights_root = f@resp$sqrtXwt[], weighted_residual = unname(f@resp$wtres),
    modes = list(grpvar = as.character(modes$grpvar), term = as.character(modes$term), grp = as.character(modes$grp),
                 condval = modes$condval, condsd = modes$condsd)
  )
})

# New data.
days <- data.frame(Days = c(0, 4.5, 12), Subject = c("308", "371", "new"))
f <- models$sleepstudy$fit
curve <- fit("Reaction ~ poly(Days, 2) + (1 | Subject)", sleepstudy)
found$new_data <- list(
  days = days,
  all = unname(predict(f, days, allow.new.levels = TRUE)),
  none = unname(predict(f, days, re.form = NA)),
  intercepts = unname(predict(f, days, re.form = ~(1 | Subject), allow.new.levels = TRUE)),
  curve = unname(predict(curve, days, allow.new.levels = TRUE))
)

# Simulations: the stream of random numbers.
p <- models$penicillin$fit
levels_in_new_data <- data.frame(Days = c(1, 2, 3, 4), Subject = c("310", "new", "308", "310"))
found$simulate <- list(
  sleepstudy = unname(as.matrix(simulate(f, 2, seed = 42))),
  conditional = simulate(f, 1, seed = 42, re.form = NULL)[[1]],
  penicillin = simulate(p, 1, seed = 5)[[1]],
  given_sample = simulate(p, 1, seed = 5, re.form = ~(1 | sample))[[1]],
  machines = simulate(models$machines$fit, 1, seed = 7)[[1]],
  uncorrelated = simulate(models$uncorrelated$fit, 1, seed = 7)[[1]],
  new_data = simulate(f, 1, seed = 7, newdata = levels_in_new_data, re.form = NA, allow.new.levels = TRUE)[[1]]
)
found$iris$data <- irises[c("Sepal.Length", "Petal.Width", "Species")]
found$machines$data <- Machines
writeLines(toJSON(found, auto_unbox = TRUE, digits = NA, dataframe = "columns"), commandArgs(TRUE)[1])

# Fits the designs that agreement.py wrote into a folder (the only argument after --args) with lme4 at tight tolerances.
# For each a line of results.tsv: number, criterion, evaluations, theta (comma separated), or number, NA and the error.

suppressWarnings(suppressPackageStartupMessages(library(lme4, quietly = TRUE)))
options(warn = -1)
folder <- commandArgs(TRUE)[1]
designs <- read.delim(file.path(folder, "designs.tsv"), header = FALSE, colClasses = "character", quote = "")
names(designs) <- c("number", "formula", "reml", "weighted")
checks <- list(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore", check.nobs.vs.rankZ = "ignore",
               check.nlev.gtr.1 = "ignore", check.rankX = "silent.drop.cols", check.scaleX = "ignore",
               check.conv.grad = "ignore", check.conv.hess = "ignore", check.conv.singular = "ignore",
               calc.derivs = FALSE)
controls <- list(
  do.call(lmerControl, c(list(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-10, maxfun = 50000)), checks)),
  do.call(lmerControl, c(list(optimizer = "nloptwrap",
    optCtrl = list(xtol_abs = 1e-11, ftol_abs = 1e-13, maxeval = 50000)), checks)))

read_design <- function(number) {
  types <- read.delim(file.path(folder, paste0(number, ".types")), header = FALSE, colClasses = "character", quote = "")
  data <- read.csv(file.path(folder, paste0(number, ".csv")), colClasses = "character", na.strings = "")
  for (i in seq_len(nrow(types))) {
    name <- types[i, 1]
    data[[name]] <- switch(types[i, 2],
      number = as.numeric(data[[name]]), logical = data[[name]] == "True",
      factor = factor(data[[name]]),
      ordered = factor(data[[name]], strsplit(types[i, 3], ",")[[1]], ordered = TRUE))
  }
  data
}

output <- file(file.path(folder, "results.tsv"), "w")
for (row in seq_len(nrow(designs))) {
  number <- designs$number[row]
  data <- read_design(number)
  best <- NULL
  evaluations <- 0
  problem <- "no optimizer ended"
  for (control in controls) {
    # lmer looks for weights where the formula was made.
    model <- as.formula(designs$formula[row], env = environment())
    found <- tryCatch({
      if (designs$weighted[row] == "1") {
        suppressMessages(lmer(model, data, REML = designs$reml[row] == "1", weights = w, control = control))
      } else {
        suppressMessages(lmer(model, data, REML = designs$reml[row] == "1", control = control))
      }
    }, error = function(e) { problem <<- gsub("[\t\n]", " ", conditionMessage(e)); NULL })
    if (is.null(found)) next
    evaluations <- evaluations + found@optinfo$feval
    value <- if (isREML(found)) REMLcrit(found) else deviance(found)
    if (is.null(best) || value < best$value) best <- list(value = value, theta = getME(found, "theta"))
  }
  line <- if (is.null(best)) c(number, "NA", problem) else
    c(number, sprintf("%.17g", best$value), evaluations, paste(sprintf("%.17g", best$theta), collapse = ","))
  writeLines(paste(line, collapse = "\t"), output)
  flush(output)
}
close(output)

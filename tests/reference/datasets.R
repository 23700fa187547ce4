# The example data sets that lme4 distributes: Rscript datasets.R FOLDER

source("tables.R")
suppressMessages(library(lme4))

example_names <- c("sleepstudy", "Dyestuff", "Dyestuff2", "Penicillin", "Pastes", "cake", "InstEval")
example_sets <- setNames(lapply(example_names, get, envir = as.environment("package:lme4")), example_names)

if (is_main("datasets.R"))
  for (name in example_names) write_frame(example_sets[[name]], name, output_folder())

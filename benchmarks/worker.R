# Fits models with lme4, on command: the counterpart of worker.py, with the same commands.
# The argument of "open" is the folder with the columns and the formula, separated by a tab.

now <- function() as.numeric(Sys.time())
reply <- function(...) {
  cat("@@ {", paste(..., sep = ", "), "}\n", sep = "")
  flush(stdout())
}
number <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
numbers <- function(x) paste0("[", paste(number(x), collapse = ", "), "]")
field <- function(name, value) paste0("\"", name, "\": ", value)
text <- function(x) paste0("\"", gsub("[\"\\\\[:cntrl:]]", " ", x), "\"")

read_columns <- function(folder) {
  columns <- read.delim(file.path(folder, "columns.tsv"), header = FALSE, colClasses = "character")
  read_one <- function(name, kind) {
    path <- file.path(folder, paste0(name, ".bin"))
    size <- file.size(path)
    if (kind == "double") return(readBin(path, "double", size / 8))
    levels <- readLines(file.path(folder, paste0(name, ".levels")))
    structure(readBin(path, "integer", size / 4), levels = levels, class = "factor")
  }
  data <- Map(read_one, columns[[1]], columns[[2]])
  names(data) <- columns[[1]]
  as.data.frame(data, check.names = FALSE)
}

start <- now()
loaded <- suppressWarnings(suppressPackageStartupMessages(require(lme4, quietly = TRUE)))
if (!loaded) {
  reply(field("error", text("lme4 is not installed in R")))
  quit()
}
reply(field("import", number(now() - start)), field("version", text(as.character(packageVersion("lme4")))))

options(warn = -1)
input <- file("stdin", "r")
data <- model_formula <- last <- responses <- base_fit <- NULL
while (length(line <- readLines(input, 1)) > 0) {
  command <- sub(" .*", "", line)
  argument <- sub("^[^ ]* ?", "", line)
  if (command == "quit") break
  tryCatch(suppressMessages(switch(command,
    open = {
      last <- base_fit <- NULL
      parts <- strsplit(argument, "\t", fixed = TRUE)[[1]]
      data <- read_columns(parts[1])
      model_formula <- as.formula(parts[2])
      invisible(gc())
      reply(field("rows", nrow(data)), field("bytes", number(as.numeric(object.size(data)))))
    },
    fit = {
      seconds <- numeric(as.integer(argument))
      for (i in seq_along(seconds)) {
        last <- NULL
        start <- now()
        last <- lmer(model_formula, data, REML = TRUE)
        seconds[i] <- now() - start
      }
      reply(field("seconds", numbers(seconds)))
    },
    estimates = reply(
      field("criterion", number(REMLcrit(last))),
      field("fixef", numbers(unname(fixef(last)))),
      field("sigma", number(sigma(last)))
    ),
    refit = {
      path <- sub(" [0-9]+$", "", argument)
      count <- as.integer(sub(".* ", "", argument))
      if (is.null(responses)) {
        responses <- matrix(readBin(path, "double", file.size(path) / 8), nrow = nrow(data))
      }
      if (is.null(base_fit)) base_fit <- lmer(model_formula, data, REML = TRUE)
      start <- now()
      for (i in seq_len(count)) refit(base_fit, newresp = responses[, (i - 1) %% ncol(responses) + 1])
      reply(field("seconds", number(now() - start)))
    }
  )), error = function(problem) reply(field("error", text(conditionMessage(problem)))))
}

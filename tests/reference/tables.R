# Write data frames as CSV (17 significant digits, so that doubles survive) beside a JSON
# description of their columns; to_parquet.py turns each pair into one Parquet file.

suppressMessages(library(jsonlite))

column_kind <- function(x) {
  if (is.ordered(x)) "ordered"
  else if (is.factor(x)) "factor"
  else if (is.integer(x)) "integer"
  else if (is.numeric(x)) "double"
  else if (is.character(x)) "text"
  else stop("no kind for a column of class ", class(x)[1])
}

write_frame <- function(frame, name, folder) {
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  frame <- as.data.frame(frame)
  schema <- lapply(frame, function(x) {
    kind <- column_kind(x)
    if (is.factor(x)) list(kind = kind, levels = I(levels(x))) else list(kind = kind)
  })
  text <- lapply(frame, function(x) {
    if (is.factor(x)) ifelse(is.na(x), "", as.character(as.integer(x) - 1L))  # codes from 0
    else if (is.double(x)) ifelse(is.na(x), "", sprintf("%.17g", x))
    else ifelse(is.na(x), "", as.character(x))
  })
  text <- as.data.frame(text, optional = TRUE, stringsAsFactors = FALSE)
  names(text) <- names(frame)
  write.csv(text, file.path(folder, paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
  write_json(schema, file.path(folder, paste0(name, ".json")), auto_unbox = TRUE)
  invisible(frame)
}

# TRUE only for the script that Rscript was asked to run, not for one that another script sources.
is_main <- function(script) {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  length(file) == 1 && basename(file) == script
}

output_folder <- function() {
  arguments <- commandArgs(TRUE)
  if (length(arguments) != 1) stop("one argument is needed: the folder to write to")
  arguments[1]
}

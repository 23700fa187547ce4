# Sensory data sets that lmerTest distributes: Rscript sensory.R FOLDER

source("tables.R")

sensory_sets <- local({
  found <- new.env()
  data("carrots", "ham", package = "lmerTest", envir = found)
  list(
    carrots = found$carrots[c("Consumer", "Product", "Age", "Homesize", "Preference", "sens1", "sens2")],
    ham = found$ham[c("Consumer", "Product", "Information", "Gender", "Informed.liking")]
  )
})

if (is_main("sensory.R"))
  for (name in names(sensory_sets)) write_frame(sensory_sets[[name]], name, output_folder())

# Backward elimination by lmerTest and principal components of random effects by lme4: Rscript step.R step.json

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("sensory.R")
source("fitting.R")

all_sets <- c(example_sets, scenario_sets, fixture_sets, sensory_sets)

steps <- list(
  carrots = list(
    set = "carrots", formula = "Preference ~ sens2 + sens1 + Homesize + (1 + sens2 | Consumer)"
  ),
  carrots_large = list(
    set = "carrots", formula = "Preference ~ sens2 * Homesize * Age + sens1 + (1 + sens2 | Consumer) + (1 | Product)"
  ),
  carrots_keep = list(
    set = "carrots", formula = "Preference ~ sens2 * Homesize * Age + sens1 + (1 + sens2 | Consumer) + (1 | Product)",
    keep = "sens2:Homesize"
  ),
  ham = list(
    set = "ham",
    formula = "Informed.liking ~ Product * Information + (1 | Consumer) + (1 | Product:Consumer) + (1 | Information:Consumer)"
  ),
  ham_slopes = list(
    set = "ham", formula = "Informed.liking ~ Product * Information * Gender + (Information | Consumer) + (1 | Product:Consumer)"
  ),
  ham_fixed_only = list(
    set = "ham", formula = "Informed.liking ~ Product * Information + (1 | Consumer) + (1 | Product:Consumer)",
    reduce_random = FALSE
  ),
  sleepstudy = list(set = "sleepstudy", source = "dataset", formula = "Reaction ~ Days + (Days | Subject)"),
  cake = list(set = "cake", source = "dataset", formula = "angle ~ recipe * temp + (temp | recipe:replicate)"),
  scenario_4 = list(
    set = "scenario_4", formula = "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c + x2 | k_id)",
    contrasts = list(interv_label = interv_contrasts)
  )
)

describe_step <- function(name) {
  model <- steps[[name]]
  model$data <- all_sets[[model$set]]
  fit <- fit_case(model, TRUE)
  # lmerTest fits the smaller models with the control of the call.
  fit <- lmerTest::as_lmerModLmerTest(fit)
  arguments <- c(
    list(fit), if (!is.null(model$keep)) list(keep = model$keep),
    if (!is.null(model$reduce_random)) list(reduce.random = model$reduce_random)
  )
  found <- suppressWarnings(suppressMessages(do.call(lmerTest::step, arguments)))
  c(
    list(name = name, source = if (is.null(model$source)) "fixture" else model$source, data = model$set, formula = model$formula),
    if (!is.null(model$contrasts)) list(contrasts = lapply(model$contrasts, unname)),
    if (!is.null(model$keep)) list(keep = model$keep),
    list(
      reduce_random = is.null(model$reduce_random), random = as_matrix(as.data.frame(found$random)),
      fixed = as_matrix(as.data.frame(found$fixed)), final = paste(deparse(formula(lmerTest::get_model(found))), collapse = " ")
    )
  )
}

components <- list(
  sleepstudy = list(set = "sleepstudy", source = "dataset", formula = "Reaction ~ Days + (Days | Subject)"),
  zero_correlation = list(set = "sleepstudy", source = "dataset", formula = "Reaction ~ Days + (Days || Subject)"),
  machines = list(set = "machines", formula = "score ~ Machine + (Machine | Worker)"),
  penicillin = list(set = "Penicillin", source = "dataset", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  five_slopes = list(set = "five_slopes", formula = "y ~ x1 + x2 + x3 + x4 + (x1 + x2 + x3 + x4 | g)"),
  crossed = list(set = "subjects_items", formula = "y ~ cond + (cond | subject) + (cond | item)")
)

describe_components <- function(name) {
  model <- components[[name]]
  model$data <- all_sets[[model$set]]
  found <- rePCA(fit_case(model, TRUE))
  list(
    name = name, source = if (is.null(model$source)) "fixture" else model$source, data = model$set, formula = model$formula,
    groups = lapply(found, function(part) list(sdev = I(part$sdev), rotation = unname(part$rotation)))
  )
}

if (is_main("step.R")) {
  write_json(
    list(
      versions = package_versions(c("lme4", "lmerTest")), steps = lapply(names(steps), describe_step),
      components = lapply(names(components), describe_components)
    ), commandArgs(TRUE)[1],
    auto_unbox = TRUE, digits = NA, null = "null", na = "null"
  )
}

# Reference fits: Rscript lmm_fits.R lmm_fits.json [PATTERN]
#
# With a pattern, only the cases whose names match it are fitted.

source("datasets.R")
source("scenarios.R")
source("fixtures.R")
source("fitting.R")

dataset_case <- function(name, set, formula, ...)
  list(name = name, source = "dataset", set = set, data = example_sets[[set]], formula = formula, ...)
fixture_case <- function(name, set, formula, ...)
  list(name = name, source = "fixture", set = set, data = c(scenario_sets, fixture_sets)[[set]], formula = formula, ...)
scenario_4_case <- function(name, formula)
  fixture_case(name, "scenario_4", formula, contrasts = list(interv_label = unname(interv_contrasts)))

# The badly scaled model is the well-scaled one in other units. Its optimum is carried over, and so are the degrees of
# freedom, since numerical derivatives in a theta of 1e-6 mean nothing.
scaled_twin <- fixture_case("bad_scale_twin", "bad_scale", "y ~ year_c + income_m + (income_m | country)")
start_from_twin <- function(REML) unname(getME(fit_case(scaled_twin, REML), "theta")) * c(1, 1e-6, 1e-6)
ddf_from_twin <- function(REML) {
  fit <- suppressMessages(lmerTest::as_lmerModLmerTest(fit_case(scaled_twin, REML)))
  L <- rbind("(Intercept)" = c(1, -2000, 0), year = c(0, 1, 0), income = c(0, 0, 1e-6))
  tests <- apply(L, 1, function(l) unlist(lmerTest::contest1D(fit, l)))
  list(df = as_named(tests["df", ]), t = as_named(tests["t value", ]), p = as_named(tests["Pr(>|t|)", ]))
}

cases <- list(
  dataset_case("insteval", "InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)", large = TRUE),
  fixture_case("five_slopes", "five_slopes", "y ~ x1 + x2 + x3 + x4 + (1 + x1 + x2 + x3 + x4 | g)"),
  dataset_case("sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
  dataset_case("sleepstudy_uncorrelated", "sleepstudy", "Reaction ~ Days + (Days || Subject)"),
  dataset_case("sleepstudy_intercept", "sleepstudy", "Reaction ~ Days + (1 | Subject)"),
  dataset_case("sleepstudy_slope", "sleepstudy", "Reaction ~ Days + (0 + Days | Subject)"),
  dataset_case("dyestuff", "Dyestuff", "Yield ~ 1 + (1 | Batch)"),
  dataset_case("dyestuff2", "Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  dataset_case("penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  dataset_case("pastes_nested", "Pastes", "strength ~ 1 + (1 | batch/cask)"),
  dataset_case("pastes_sample", "Pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
  dataset_case("cake", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  dataset_case("cake_temp", "cake", "angle ~ recipe + temp + (1 | recipe:replicate)"),
  dataset_case("cake_recipe_slopes", "cake", "angle ~ recipe + (recipe | replicate)"),
  dataset_case("cake_recipe_cells", "cake", "angle ~ recipe + (0 + recipe | replicate)"),
  dataset_case(
    "cake_sum", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)",
    contrasts = list(recipe = "contr.sum", temperature = "contr.helmert")
  ),
  dataset_case("cake_no_intercept", "cake", "angle ~ 0 + recipe + recipe:temp + (1 | recipe:replicate)"),
  fixture_case("scenario_1_empty", "scenario_1", "y ~ 1 + (1 | k_id)"),
  fixture_case("scenario_1", "scenario_1", "y ~ x1 + x2 + (1 | k_id)"),
  fixture_case("scenario_2_empty", "scenario_2", "y ~ 1 + (1 | k_id)"),
  fixture_case("scenario_2_without_price", "scenario_2", "y ~ x1 + x2 + (1 | k_id)"),
  fixture_case("scenario_2_with_price", "scenario_2", "y ~ x1 + x2 + price + (1 | k_id)"),
  fixture_case("scenario_3_without_mean", "scenario_3", "y ~ x1 + x2 + (1 | k_id)"),
  fixture_case("scenario_3_with_mean", "scenario_3", "y ~ x1 + x2 + x1_mean + (1 | k_id)"),
  scenario_4_case("scenario_4_model_1", "y ~ 1 + (1 | k_id)"),
  scenario_4_case("scenario_4_model_2", "y ~ x1_c + x2 + (1 | k_id)"),
  scenario_4_case("scenario_4_model_3", "y ~ x1_c + x2 + (1 + x1_c | k_id)"),
  scenario_4_case("scenario_4_model_4", "y ~ x1_c + x2 + interv_label + (1 + x1_c | k_id)"),
  scenario_4_case("scenario_4_model_5", "y ~ x1_c + x2 + interv_label + x1_c:interv_label + (1 + x1_c | k_id)"),
  fixture_case("weights", "sleepstudy_extra", "Reaction ~ Days + (Days | Subject)", weights = "w"),
  fixture_case("weights_fraction", "sleepstudy_extra", "Reaction ~ Days + (1 | Subject)", weights = "w_fraction"),
  fixture_case("offset", "sleepstudy_extra", "Reaction ~ Days + (Days | Subject)", offset = "off"),
  fixture_case("offset_in_formula", "sleepstudy_extra", "Reaction ~ Days + offset(off) + (Days | Subject)"),
  fixture_case(
    "weights_and_offset", "sleepstudy_extra", "Reaction ~ Days + (Days | Subject)", weights = "w_fraction", offset = "off"
  ),
  fixture_case("rank_deficient", "sleepstudy_extra", "Reaction ~ Days + Days2 + Days3 + (Days | Subject)"),
  fixture_case("rank_deficient_first", "sleepstudy_extra", "Reaction ~ Days2 + Days3 + Days + (1 | Subject)"),
  fixture_case("machines", "machines", "score ~ Machine + (Machine | Worker)"),
  fixture_case("machines_nested", "machines", "score ~ Machine + (1 | Worker/Machine)"),
  fixture_case("subjects_items", "subjects_items", "y ~ cond + (1 + cond | subject) + (1 + cond | item)"),
  fixture_case("subjects_items_uncorrelated", "subjects_items", "y ~ cond + (1 + cond || subject) + (1 + cond || item)"),
  fixture_case("nested", "school_class_pupil", "y ~ x + occasion + (1 | school/class/pupil)"),
  fixture_case("nested_slope", "school_class_pupil", "y ~ x + (x | school) + (1 | school:class) + (1 | school:class:pupil)"),
  fixture_case("nested_vector", "school_class_pupil", "y ~ x + occasion + (x | school/class)"),
  fixture_case(
    "nested_crossed", "school_class_pupil",
    "y ~ x + occasion + (x | school) + (1 | school:class) + (1 | school:class:pupil) + (1 | rater)"
  ),
  fixture_case("perfect_correlation", "perfect_correlation", "y ~ x + (x | g)"),
  fixture_case("zero_slope", "zero_slope", "y ~ x + (1 | g) + (0 + x | g)"),
  fixture_case("bad_scale_twin", "bad_scale", "y ~ year_c + income_m + (income_m | country)"),
  fixture_case(
    "bad_scale", "bad_scale", "y ~ year + income + (income | country)", start = start_from_twin, ddf = ddf_from_twin,
    note = "the optimum and the degrees of freedom are carried over from bad_scale_twin"
  ),
  fixture_case("exam", "exam", "normexam ~ standLRT + sex + (standLRT | school)"),
  fixture_case("exam_type", "exam", "normexam ~ standLRT * type + schavg + (standLRT + sex | school)"),
  fixture_case("scottish_schools", "scottish_schools", "attain ~ sex + verbal + (1 | primary) + (1 | second)"),
  fixture_case("scottish_schools_slopes", "scottish_schools", "attain ~ sex + verbal + (verbal | primary) + (verbal | second)"),
  fixture_case("scottish_schools_no_verbal", "scottish_schools", "attain ~ sex + (sex | primary) + (sex | second)"),
  fixture_case("rat_pups", "rat_pups", "weight ~ sex * Treatment + Lsize + (1 | Litter)"),
  fixture_case("rat_pups_sex", "rat_pups", "weight ~ sex * Treatment + Lsize + (sex | Litter)"),
  fixture_case("oats", "oats", "yield ~ nitro + Variety + (1 | Block/Variety)"),
  fixture_case("oats_slope", "oats", "yield ~ nitro + Variety + (nitro | Block)"),
  fixture_case("oats_slopes_nested", "oats", "yield ~ nitro + Variety + (nitro | Block/Variety)"),
  fixture_case("orthodont", "orthodont", "distance ~ age * Sex + (age | Subject)")
)

if (is_main("lmm_fits.R")) {
  arguments <- commandArgs(TRUE)
  if (length(arguments) > 1) cases <- Filter(function(case) grepl(arguments[2], case$name), cases)
  jobs <- unlist(lapply(cases, function(case) list(list(case, TRUE), list(case, FALSE))), recursive = FALSE)
  fits <- parallel::mclapply(jobs, function(job) {
    started <- proc.time()[["elapsed"]]
    found <- try(describe_fit(job[[1]], job[[2]]))
    if (inherits(found, "try-error")) stop(job[[1]]$name, ": ", found)
    cat(sprintf(
      "%-32s %18.8f  gradient %.1e  %s%s%.1f s\n", found$name, found$criterion, found$scaled_gradient,
      if (found$singular) "singular " else "", if (is.null(found$satterthwaite)) "no ddf " else "",
      proc.time()[["elapsed"]] - started
    ), file = stderr())
    found
  }, mc.cores = 2, mc.preschedule = FALSE)
  failed <- vapply(fits, inherits, NA, "try-error")
  if (any(failed)) stop(sum(failed), " fits failed: ", unlist(fits[failed]))
  written <- list(versions = package_versions(c("lme4", "lmerTest", "Matrix", "nlme", "mlmRev")), cases = fits)
  write_json(written, arguments[1], auto_unbox = TRUE, digits = NA, null = "null", na = "null")
}

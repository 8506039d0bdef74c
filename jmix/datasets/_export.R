# Writes the data sets that jmix ships, from the R packages that Debian distributes:
#
#     apt-get install r-cran-lme4 r-cran-nlme r-cran-mass r-cran-jsonlite r-cran-mlmrev r-cran-ordinal r-cran-psychotools
#     Rscript jmix/datasets/_export.R [DIRECTORY]
#
# DIRECTORY (default: the folder of this script) receives datasets.json and data/NAME.csv.gz.
# The gzip headers carry no time stamp, so equal packages give equal files.

shortest <- function(x) {
  # Decimal text that reads back as the same double, 15 digits where they suffice.
  text <- sprintf("%.15g", x)
  inexact <- as.numeric(text) != x
  text[inexact] <- sprintf("%.17g", x[inexact])
  text
}

cells <- function(x) if (is.double(x)) shortest(x) else as.character(x)

write_csv_gz <- function(data, path) {
  # A missing value is an empty cell; only integers may have any.
  text <- do.call(paste, c(lapply(data, function(x) ifelse(is.na(x), "", cells(x))), sep = ","))
  stopifnot(!anyNA(Filter(Negate(is.integer), data)), !grepl("[\" ]", text))
  connection <- gzfile(path, "wb", compression = 9)
  on.exit(close(connection))
  writeLines(c(paste(names(data), collapse = ","), text), connection)
}

column_entry <- function(name, x) {
  integer_type <- if (anyNA(x)) "Int64" else "int64"
  type <- if (is.factor(x)) "category" else if (is.integer(x)) integer_type else "float64"
  entry <- list(name = name, type = type)
  if (is.factor(x)) {
    entry$ordered <- is.ordered(x)
    entry$levels <- I(levels(x))
  }
  entry
}

debian_version <- function(deb) {
  system2("dpkg-query", c("--show", "--showformat", "'${Version}'", deb), stdout = TRUE)
}

anorexia_long <- function() {
  wide <- MASS::anorexia
  girl <- rep(seq_len(nrow(wide)), each = 2)
  treat <- factor(as.character(wide$Treat), levels = c("CBT", "Cont", "FT"))[girl]
  time <- rep(1:2, times = nrow(wide))
  rx <- factor(as.integer(treat), levels = 1:3)
  data.frame(
    girl = factor(girl), time = time, time01 = time - 1L, Rx = rx, Treat = treat,
    weight = as.vector(rbind(wide$Prewt, wide$Postwt)),
    Rx1 = as.integer(rx == "1"), Rx3 = as.integer(rx == "3")
  )
}

with_items <- function(items, persons) {
  # Persons by items, whole numbers, and beside them what is known of the persons.
  values <- unclass(items)
  storage.mode(values) <- "integer"
  data.frame(values[, , drop = FALSE], persons)
}

math_exam <- function() {
  exam <- psychotools_data("MathExam14W")
  with_items(exam$solved, exam[c("tests", "gender", "study", "semester", "attempt", "group")])
}

conspiracist_beliefs <- function() {
  beliefs <- psychotools_data("ConspiracistBeliefs2016")
  with_items(beliefs$resp, beliefs[c("area", "gender")])
}

psychotools_data <- function(name) {
  place <- new.env()
  utils::data(list = name, package = "psychotools", envir = place)
  place[[name]]
}

plain <- function(data) as.data.frame(unclass(data)[names(data)], optional = TRUE, stringsAsFactors = FALSE)

venables <- "Venables, W. N. & Ripley, B. D. (2002). Modern Applied Statistics with S, 4th ed. Springer"
davies <- "Davies, O. L. & Goldsmith, P. L. (eds) (1972). Statistical Methods in Research and Production, 4th ed. Oliver and Boyd"
bates <- "Bates, D., Maechler, M., Bolker, B. & Walker, S. (2015). J. Stat. Softw. 67(1)"
pinheiro <- "Pinheiro, J. & Bates, D. (2000). Mixed-Effects Models in S and S-PLUS. Springer"
bryk <- paste0(pinheiro, "; after Raudenbush, S. & Bryk, A. (2002). Hierarchical Linear Models, 2nd ed. Sage")
gpl <- "GPL-2.0-or-later"
gpl_2_or_3 <- "GPL-2.0-only OR GPL-3.0-only"

data_set <- function(name, deb, data, title, citation, license = gpl) {
  list(name = name, deb = deb, data = plain(data), title = title, citation = citation, license = license)
}

data_sets <- list(
  data_set("sleepstudy", "r-cran-lme4", lme4::sleepstudy,
           "Reaction time (ms) of 18 subjects over ten days with three hours in bed a night",
           "Belenky, G. et al. (2003). J. Sleep Res. 12, 1-12"),
  data_set("Dyestuff", "r-cran-lme4", lme4::Dyestuff,
           "Yield of dyestuff (grams of standard colour), five preparations from each of six batches",
           paste0(davies, ", section 6.4")),
  data_set("Penicillin", "r-cran-lme4", lme4::Penicillin,
           "Diameter (mm) of the zone of inhibition: six penicillin samples, crossed with 24 plates",
           paste0(davies, ", section 6.6")),
  data_set("Pastes", "r-cran-lme4", lme4::Pastes,
           "Strength of a chemical paste: two assays from each of three casks in ten batches",
           paste0(davies, ", section 6.5")),
  data_set("cbpp", "r-cran-lme4", lme4::cbpp,
           "New cases of contagious bovine pleuropneumonia in 15 herds over four periods",
           "Lesnoff, M. et al. (2004). Prev. Vet. Med. 64, 27-40"),
  data_set("VerbAgg", "r-cran-lme4", lme4::VerbAgg,
           "Verbal aggression: answers of 316 persons to 24 items",
           "De Boeck, P. & Wilson, M. (2004). Explanatory Item Response Models. Springer"),
  data_set("InstEval", "r-cran-lme4", lme4::InstEval,
           "Ratings (1 to 5) of 1,128 lecturers by 2,972 students at ETH Zurich", bates),
  data_set("MathAchieve", "r-cran-nlme", nlme::MathAchieve,
           "Mathematics achievement of 7,185 pupils in 160 schools", bryk),
  data_set("MathAchSchool", "r-cran-nlme", nlme::MathAchSchool,
           "The 160 schools of MathAchieve", bryk),
  data_set("anorexia", "r-cran-mass", anorexia_long(),
           "Weight (lb) of 72 girls before (time 1) and after (time 2) one of three treatments",
           paste0("Hand, D. J. et al. (1993). A Handbook of Small Data Sets, set 285. Chapman & Hall; ", venables),
           gpl_2_or_3),
  data_set("Contraception", "r-cran-mlmrev", mlmRev::Contraception,
           "Use of contraception by 1,934 women in 60 districts of Bangladesh (age is centred)",
           "Steele, F., Diamond, I. & Amin, S. (1996). J. R. Stat. Soc. A 159, 289-299"),
  data_set("bacteria", "r-cran-mass", MASS::bacteria,
           "Presence of H. influenzae in 50 children with otitis media over eleven weeks, by treatment",
           venables, gpl_2_or_3),
  data_set("grouseticks", "r-cran-lme4", lme4::grouseticks,
           "Ticks counted on 403 red grouse chicks of 118 broods at 63 locations (overdispersed)",
           "Elston, D. A. et al. (2001). Parasitology 122, 563-569"),
  data_set("epil", "r-cran-mass", MASS::epil,
           "Seizures of 59 epileptics in four periods of two weeks, by treatment",
           paste0("Thall, P. F. & Vail, S. C. (1990). Biometrics 46, 657-671; ", venables), gpl_2_or_3),
  data_set("wine", "r-cran-ordinal", ordinal::wine,
           "Bitterness of wine (1 to 5) by nine judges: two bottles from each of four treatments",
           "Randall, J. H. (1989). Biom. J. 31, 781-793"),
  data_set("RatPupWeight", "r-cran-nlme", nlme::RatPupWeight,
           "Birth weight (g) of 322 rat pups in 27 litters, by dose given to the mother",
           pinheiro),
  data_set("Gasoline", "r-cran-nlme", nlme::Gasoline,
           "Yield of gasoline (percent of the crude oil) at several endpoints from ten samples of crude oil",
           paste0("Prater, N. H. (1956). Pet. Refin. 35, 236-238; ", pinheiro)),
  data_set("MathExam14W", "r-cran-psychotools", math_exam(),
           "Mathematics exam: 729 students, 13 items solved (1) or not (0), and covariates of the students",
           "Zeileis, A., Umlauf, N. & Leisch, F. (2014). J. Stat. Softw. 58(1)", gpl_2_or_3),
  data_set("ConspiracistBeliefs2016", "r-cran-psychotools", conspiracist_beliefs(),
           "Generic Conspiracist Beliefs Scale: 2,449 persons, 15 items from 0 (disagree) to 4 (agree), some missing",
           "Brotherton, R., French, C. C. & Pickering, A. D. (2013). Front. Psychol. 4, 279", gpl_2_or_3)
)

catalogue_entry <- function(set) {
  list(
    title = set$title, source = paste("Debian", set$deb, debian_version(set$deb)), license = set$license,
    citation = set$citation, rows = nrow(set$data),
    columns = unname(Map(column_entry, names(set$data), set$data))
  )
}

levels_on_one_line <- function(json) {
  lines <- gsub('\n +("[^"\n]*",?)(?=\n)', " \\1", json, perl = TRUE)
  gsub('\\[ (("[^"\n]*",? ?)+)\n +\\]', "[\\1]", lines, perl = TRUE)
}

script_folder <- function() {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  dirname(normalizePath(file))
}

main <- function(folder) {
  dir.create(file.path(folder, "data"), showWarnings = FALSE, recursive = TRUE)
  for (set in data_sets) write_csv_gz(set$data, file.path(folder, "data", paste0(set$name, ".csv.gz")))
  names(data_sets) <- vapply(data_sets, `[[`, "", "name")
  json <- jsonlite::toJSON(lapply(data_sets, catalogue_entry), auto_unbox = TRUE, pretty = 1)
  writeLines(levels_on_one_line(json), file.path(folder, "datasets.json"))
}

arguments <- commandArgs(TRUE)
main(if (length(arguments)) arguments[[1]] else script_folder())

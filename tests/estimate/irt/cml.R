# Conditional estimates by eRm and psychotools. Arguments: folder of the shared data, folder of simulated tables, output.
arguments <- commandArgs(TRUE)
for (package in c("eRm", "psychotools", "jsonlite")) if (!requireNamespace(package, quietly = TRUE)) quit(status = 3)
read <- function(name, folder = arguments[[2]]) read.csv(file.path(folder, paste0(name, ".csv")))

# psychotools: thresholds with mean zero and their standard errors
free <- function(model) {
  parameters <- psychotools::threshpar(model, type = "mode", vcov = TRUE)
  list(loglik = as.numeric(logLik(model)), threshold = unlist(unclass(coef(parameters))),
       se = sqrt(diag(vcov(parameters))))
}

# eRm: cumulative easiness -> thresholds with mean zero
by_erm <- function(model) {
  easiness <- model$betapar
  item <- sub("\\.c[0-9]+$", "", sub("^beta ", "", names(easiness)))
  threshold <- unlist(tapply(-easiness, factor(item, unique(item)), function(x) diff(c(0, x))))
  list(loglik = model$loglik, threshold = as.numeric(threshold - mean(threshold)))
}

vocabulary <- read("gss2004_vocab", arguments[[1]])
vocabulary <- vocabulary[grep("^word", names(vocabulary))]
science <- read("mirt_Science", arguments[[1]]) - 1
rated <- read("rated")
properties <- cbind(x = 0:9, z = as.numeric(0:9 %% 3 == 0))
lltm <- eRm::LLTM(vocabulary, W = -properties)

result <- list(
  rasch_vocabulary = free(psychotools::raschmodel(vocabulary, reltol = 1e-14)),
  pcm_science = free(psychotools::pcmodel(science, reltol = 1e-14)),
  pcm_rated = free(psychotools::pcmodel(rated, reltol = 1e-14)),
  rsm_rated = by_erm(eRm::RSM(rated)),
  rasch_missing = by_erm(eRm::RM(read("missing"))),
  lltm = list(loglik = lltm$loglik, eta = as.numeric(lltm$etapar), se = as.numeric(lltm$se.eta))
)
writeLines(jsonlite::toJSON(result, auto_unbox = TRUE, digits = NA), arguments[[3]])

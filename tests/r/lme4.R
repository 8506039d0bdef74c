# Rscript lme4.R FOLDER: fits every model of FOLDER/models.json with lme4 and writes FOLDER/expected.json.
#
# bobyqa with a tight tolerance, from lme4's own start, from two others and from the theta given with the model (jmix's): the lowest criterion
# is kept. "own" is the criterion from lme4's own start alone; null where lme4 stops there with an error.
suppressMessages({library(lme4); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
models <- fromJSON(file.path(folder, "models.json"), simplifyVector = FALSE)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e5), calc.derivs = FALSE,
                       check.conv.singular = "ignore", check.scaleX = "ignore", check.nobs.vs.nRE = "ignore")

fit_one <- function(model) {
  data <- read.csv(file.path(folder, paste0(model$data, ".csv")), stringsAsFactors = TRUE)
  w <- if (is.null(model$weights)) rep(1, nrow(data)) else data[[model$weights]]
  o <- if (is.null(model$offset)) rep(0, nrow(data)) else data[[model$offset]]
  data$.w <- w; data$.o <- o
  run <- function(start = NULL) suppressWarnings(suppressMessages(
    lmer(as.formula(model$formula), data, REML = model$reml, weights = .w, offset = .o, start = start, control = control)))
  attempt <- function(start) tryCatch(run(start), error = function(e) NULL)
  own <- attempt(NULL)
  theta <- unlist(model$theta)
  starts <- list(theta, if (!is.null(own)) getME(own, "theta"), if (!is.null(own)) pmax(own@lower, 0.5 * theta + 0.1))
  best <- own
  for (factor in c(1, 1.01, 0.99, 1.1, 0.9)) if (is.null(best)) best <- attempt(factor * theta)
  if (is.null(best)) stop("lme4 fits no start of ", model$formula)
  for (start in starts) {
    other <- if (is.null(start)) NULL else attempt(start)
    if (!is.null(other) && deviance(other, REML = model$reml) < deviance(best, REML = model$reml)) best <- other
  }
  r <- as.data.frame(ranef(best))
  v <- as.data.frame(VarCorr(best))
  list(theta = as.numeric(getME(best, "theta")), fixef = as.list(fixef(best)), se = as.numeric(sqrt(diag(as.matrix(vcov(best))))),
       sigma = sigma(best), criterion = as.numeric(-2 * logLik(best)), own = if (is.null(own)) NULL else as.numeric(-2 * logLik(own)),
       sdcor = v$sdcor, grpvar = as.character(r$grpvar), term = as.character(r$term), grp = as.character(r$grp),
       condval = r$condval, condsd = r$condsd)
}
out <- lapply(models, fit_one)
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null"), file.path(folder, "expected.json"))

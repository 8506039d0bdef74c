# The process in which lme4 or glmmTMB fits a Bernoulli model: Rscript general.R package folder formula nodes repeats budget task
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "columns.R"))
arguments <- commandArgs(trailingOnly = TRUE)
package <- arguments[1]
suppressPackageStartupMessages(library(package, character.only = TRUE))
model <- as.formula(arguments[3])
nodes <- as.integer(arguments[4])
repeats <- as.integer(arguments[5])
budget <- as.numeric(arguments[6])
data <- read_columns(arguments[2])

fit <- if (package == "lme4") function(formula, data, nodes) glmer(formula, data, family = binomial, nAGQ = nodes) else
  function(formula, data, nodes) glmmTMB(formula, data, family = binomial)
quietly <- function(x) suppressMessages(suppressWarnings(x))
small <- data.frame(y = rep(c(0, 1, 1, 0, 1), 40), x = sin(seq_len(200)), g = factor(rep(1:20, each = 10)))
invisible(quietly(fit(y ~ x + (1 | g), small, 1L)))
if (arguments[7] == "evaluate") {
  # The value alone, at theta = 1 and the coefficients of a plain GLM; its modes are searched from those of the last call
  parts <- quietly(glFormula(model, data, family = binomial))
  objective <- quietly(do.call(mkGlmerDevfun, parts))
  objective <- quietly(updateGlmerDevfun(objective, parts$reTrms, nAGQ = nodes))
  start <- c(ifelse(parts$reTrms$lower == 0, 1, 0), quietly(coef(glm(nobars(model), binomial, data))))
  report(value = sprintf("%.17g", -objective(start) / 2))
} else objective <- NULL
begin <- clock()
for (i in seq_len(repeats)) {
  if (i > 1 && clock() - begin > budget) break
  start_time <- Sys.time()
  result <- if (is.null(objective)) quietly(fit(model, data, nodes)) else objective(start * (1 + 1e-3 * i))
  report(seconds = sprintf("%.9g", as.numeric(difftime(Sys.time(), start_time, units = "secs"))))
}
if (is.null(objective)) {
  beta <- if (package == "lme4") fixef(result) else fixef(result)$cond
  report(loglik = sprintf("%.17g", as.numeric(logLik(result))), beta = number(beta))
}

# Rscript inference.R FOLDER: every model of FOLDER/models.json by lme4, with what lmerTest, pbkrtest, car, emmeans, performance say of it;
# writes FOLDER/expected.json. nlme's and clubSandwich's numbers are asked for by the tests that need them.
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(car); library(emmeans); library(performance); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
models <- fromJSON(file.path(folder, "models.json"), simplifyVector = FALSE)
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 1e5)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), check.conv.singular = "ignore", check.scaleX = "ignore")
generalized <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-10, check.conv.grad = "ignore")
options(contrasts = c("contr.treatment", "contr.poly"))

table_of <- function(x) {
  m <- as.data.frame(x)
  out <- lapply(m, function(v) if (is.factor(v)) as.character(v) else v)
  c(list(rows = rownames(m)), out)
}
quiet <- function(x) suppressWarnings(suppressMessages(x))
attempt <- function(x) tryCatch(quiet(x), error = function(e) NULL)
said <- function(x) attempt(lapply(unclass(x)[intersect(names(x), c("ICC_adjusted", "ICC_unadjusted", "R2_conditional", "R2_marginal"))], as.numeric))

means_of <- function(fit, model, rule) {
  mode <- if (is.null(model$family)) list(lmer.df = rule) else list()
  ask <- function(f, ...) do.call(f, c(list(fit, ...), mode))
  out <- list()
  if (!is.null(model$means)) {
    m <- attempt(ask(emmeans, specs = model$means))
    if (!is.null(m)) {
      out$means <- table_of(m)
      out$pairs <- table_of(pairs(m))
      if (!is.null(model$family)) {out$response <- table_of(summary(m, type = "response")); out$ratios <- table_of(summary(pairs(m), type = "response"))}
    }
  }
  if (!is.null(model$trend)) {
    specs <- if (is.null(model$means)) ~ 1 else as.formula(paste("~", model$means))
    out$trends <- table_of(attempt(ask(emtrends, specs = specs, var = model$trend, delta.var = 1e-4)))
  }
  out
}

linear <- function(model, data) {
  run <- function(start) attempt(lmer(as.formula(model$formula), data, REML = model$reml, weights = .w, control = control, start = start))
  fits <- Filter(Negate(is.null), list(run(NULL), run(unlist(model$theta)), run(0.9 * unlist(model$theta) + 0.05)))
  fit <- fits[[which.max(sapply(fits, logLik))]]
  fit@call$start <- NULL
  test <- as_lmerModLmerTest(fit)
  out <- list(satterthwaite = table_of(coef(summary(test))), anova1 = table_of(anova(test, type = "I")), anova2 = table_of(anova(test, type = "II")),
              anova3 = table_of(anova(test, type = "III")), ranova = table_of(attempt(ranova(test))), loglik = as.numeric(logLik(fit)),
              icc = said(icc(fit)), r2 = said(r2(fit)), satterthwaite_means = means_of(fit, model, "satterthwaite"))
  if (model$kr) {
    out$kr <- table_of(coef(summary(test, ddf = "Kenward-Roger")))
    out$kr3 <- table_of(anova(test, type = "III", ddf = "Kenward-Roger"))
    out$kr_vcov <- as.matrix(vcovAdj(fit))
    out$kr_means <- means_of(fit, model, "kenward-roger")
  }
  list(fit = fit, out = out)
}

general <- function(model, data) {
  family <- get(model$family)
  fit <- quiet(glmer(as.formula(model$formula), data, family = family, control = generalized))
  factors <- intersect(names(Filter(is.factor, data)), all.vars(nobars(as.formula(model$formula))[[3]]))
  summed <- if (length(factors)) quiet(update(fit, contrasts = setNames(rep(list("contr.sum"), length(factors)), factors))) else fit
  list(fit = fit, out = list(wald = table_of(coef(summary(fit))), anova2 = table_of(Anova(fit, type = "II")), anova3 = table_of(Anova(summed, type = "III")),
                             loglik = as.numeric(logLik(fit)), icc = said(icc(fit)), r2 = said(r2(fit)), asymptotic_means = means_of(fit, model, NULL)))
}

one <- function(model) {
  data <- read.csv(file.path(folder, paste0(model$data, ".csv")), stringsAsFactors = TRUE)
  data$.w <- if (is.null(model$weights)) rep(1, nrow(data)) else data[[model$weights]]
  assign("data", data, envir = .GlobalEnv)
  started <- Sys.time()
  done <- if (is.null(model$family)) linear(model, data) else general(model, data)
  if (model$profile) done$out$profile <- table_of(attempt(confint(profile(done$fit, signames = FALSE, delta.cutoff = 1/12, maxpts = 300), level = 0.95)))
  message(model$formula, ": ", format(Sys.time() - started))
  done$out
}
out <- lapply(models, one)
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", matrix = "rowmajor"), file.path(folder, "expected.json"))

# Rscript glmm.R FOLDER: fits every model of FOLDER/models.json by the program that it names; writes FOLDER/expected.json.
#
# glmmTMB: nlminb, then Newton steps on its own Hessian until the gradient is below 1e-9; Laplace with the observed
# information. glmer (more than one node): bobyqa with a tight tolerance; the saturated log likelihood that lme4 leaves out is
# added. clmm: ordinal's Newton iterations with a tight tolerance.
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
models <- fromJSON(file.path(folder, "models.json"), simplifyVector = FALSE)
levels_of <- fromJSON(file.path(folder, "levels.json"), simplifyVector = FALSE)

read_data <- function(name) {
  data <- read.csv(file.path(folder, paste0(name, ".csv")), colClasses = NA, stringsAsFactors = FALSE)
  for (column in names(levels_of[[name]])) {
    of <- levels_of[[name]][[column]]
    data[[column]] <- factor(as.character(data[[column]]), levels = unlist(of$levels), ordered = of$ordered)
  }
  data
}
random_effects <- function(modes, sds) {
  r <- as.data.frame(modes)
  list(grpvar = as.character(r$grpvar), term = as.character(r$term), grp = as.character(r$grp), condval = r$condval,
       condsd = as.data.frame(sds)$condval)
}
covariances <- function(v) lapply(seq_along(v), function(i) {
  list(grp = sub("\\.[0-9]+$", "", names(v)[i]), cov = unname(as.matrix(v[[i]])[seq_len(nrow(v[[i]])), , drop = FALSE]))
})

fit_glmmTMB <- function(model, data) {
  formula <- function(text) if (is.null(text)) ~0 else as.formula(text)
  data$.w <- if (is.null(model$weights)) 1 else data[[model$weights]]
  data$.o <- if (is.null(model$offset)) 0 else data[[model$offset]]
  family <- eval(parse(text = model$family))
  start <- if (family$link == "inverse") list(beta = coef(glm(nobars(as.formula(model$formula)), family, data)))
  fit <- glmmTMB(as.formula(model$formula), data, family = family, weights = .w, offset = .o, start = start,
                 ziformula = formula(model$zi), dispformula = if (is.null(model$disp)) ~1 else formula(model$disp))
  obj <- fit$obj
  par <- fit$fit$par
  obj$env$inner.control <- list(maxit = 1000, grad.tol = 1e-12, smartsearch = TRUE, trace = FALSE)
  obj$env$tracemgc <- FALSE
  for (i in 1:8) {
    gradient <- as.numeric(obj$gr(par))
    if (max(abs(gradient)) < 1e-9) break
    par <- par - solve(optimHess(par, obj$fn, obj$gr, control = list(ndeps = rep(1e-4, length(par)))), gradient)
  }
  hessian <- optimHess(par, obj$fn, obj$gr, control = list(ndeps = rep(1e-4, length(par))))
  value <- obj$fn(par)
  se <- sqrt(diag(solve(hessian)))
  named <- function(what, of) as.numeric(of[names(par) == what])
  full <- obj$env$last.par
  fit$fit$par <- par
  fit$fit$parfull <- full
  random <- NULL
  if (length(obj$env$random)) {
    spread <- full
    spread[obj$env$random] <- sqrt(diag(solve(as.matrix(obj$env$spHess(full, random = TRUE)))))
    sds <- fit
    sds$fit$parfull <- spread
    tables <- lapply(list(fit, sds), function(f) ranef(f, condVar = FALSE))
    random <- do.call(random_effects, lapply(tables, function(t) {
      out <- as.data.frame(t)
      out[out$component == "cond", ]
    }))
  }
  list(loglik = -as.numeric(value), gradient = max(abs(obj$gr(par))), fixef = as.list(fixef(fit)$cond), se = named("beta", se),
       disp = named("betad", par), disp_se = named("betad", se), zi = named("betazi", par), zi_se = named("betazi", se),
       shape = named("psi", par), vc = covariances(VarCorr(fit)$cond), ranef = random)
}

fit_glmer <- function(model, data) {
  control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 1e-2, rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-12,
                          check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore")
  fit <- suppressWarnings(glmer(as.formula(model$formula), data, family = eval(parse(text = model$family)), nAGQ = model$n_agq, control = control))
  y <- fit@resp$y
  size <- fit@resp$weights
  saturated <- if (family(fit)$family == "poisson") sum(dpois(y, y, log = TRUE)) else sum(dbinom(round(y * size), size, y, log = TRUE))
  modes <- ranef(fit, condVar = TRUE)
  sds <- as.data.frame(modes)
  list(loglik = as.numeric(logLik(fit)) + saturated, fixef = as.list(fixef(fit)), se = as.numeric(sqrt(diag(as.matrix(vcov(fit))))),
       vc = covariances(VarCorr(fit)), ranef = random_effects(modes, transform(sds, condval = condsd)))
}

fit_clmm <- function(model, data) {
  control <- list(innerCtrl = "noWarn", gradTol = 1e-10, maxIter = 500, maxLineIter = 500, method = "nlminb", useMatrix = FALSE)
  fit <- ordinal::clmm(as.formula(model$formula), data = data, link = model$link, nAGQ = model$n_agq, Hess = TRUE,
                       control = do.call(ordinal::clmm.control, c(control, list(rel.tol = 1e-15, x.tol = 1e-12))))
  se <- sqrt(diag(vcov(fit)))
  cuts <- names(fit$alpha)
  list(loglik = as.numeric(logLik(fit)), gradient = max(abs(fit$gradient)), fixef = as.list(fit$beta), se = as.numeric(se[names(fit$beta)]),
       thresholds = as.numeric(fit$alpha), thresholds_se = as.numeric(se[cuts]), vc = covariances(ordinal::VarCorr(fit)))
}

fit_one <- function(name) {
  model <- models[[name]]
  message(name)
  get(paste0("fit_", model$program))(model, read_data(model$data))
}
out <- sapply(names(models), fit_one, simplify = FALSE)
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", null = "null"), file.path(folder, "expected.json"))

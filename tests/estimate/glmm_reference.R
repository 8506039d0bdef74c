# Writes glmm_reference.json: small data sets and their fits by R 4.2 (glm, MASS 7.3-58, glmmTMB 1.1.5, lme4 1.1-31).
# Run from this folder: Rscript glmm_reference.R
suppressMessages({library(glmmTMB); library(lme4); library(MASS); library(jsonlite)})
set.seed(20261121)
n <- 96; g <- gl(12, 8); h <- gl(6, 1, n)
x <- round(rnorm(n), 3); z <- round(runif(n, -1, 1), 3); f <- factor(sample(c("a", "b", "c"), n, TRUE))
u <- rnorm(12, 0, 0.7)[g]; v <- rnorm(6, 0, 0.5)[h]; s <- rnorm(12, 0, 0.4)[g]
eta <- 0.3 + 0.5 * x - 0.4 * (f == "b") + u + s * x
m <- sample(1:9, n, TRUE)
d <- data.frame(x, z, f = as.character(f), g = paste0("g", g), h = paste0("h", h), m)
d$bin <- rbinom(n, 1, plogis(eta)); d$suc <- rbinom(n, m, plogis(eta)); d$cnt <- rpois(n, exp(eta))
d$nb <- rnbinom(n, mu = exp(eta + 0.5), size = 2); d$gam <- round(rgamma(n, shape = 3, scale = exp(eta) / 3), 5)
p <- plogis(eta); d$prop <- round(pmin(pmax(rbeta(n, 6 * p, 6 * (1 - p)), 1e-3), 1 - 1e-3), 5)
d$zip <- ifelse(runif(n) < plogis(-1 + z), 0, rpois(n, exp(eta + 1)))
d$zinb <- ifelse(runif(n) < 0.25, 0, rnbinom(n, mu = exp(eta + 1.2), size = 3))
d$num <- round(2 + eta + 0.8 * exp(0.4 * z) * rnorm(n), 4)
d$ord <- cut(eta + v + rlogis(n), c(-Inf, -1, 0.5, 2, Inf), labels = c("c1", "c2", "c3", "c4"))
d$expo <- round(runif(n, 1, 4), 2)

out <- list()
tmb <- function(name, formula, family, data = d, ...) {
  fit <- glmmTMB(formula, data, family = family, ...,
                 control = glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14)))
  # two Newton steps: nlminb stops where its own tolerance is met
  o <- fit$obj; p <- fit$fit$par
  for (k in 1:3) p <- p - solve(optimHess(p, o$fn, o$gr, control = list(ndeps = rep(1e-4, length(p)))), as.vector(o$gr(p)))
  H <- optimHess(p, o$fn, o$gr, control = list(ndeps = rep(1e-4, length(p))))
  se <- sqrt(diag(solve(H)))
  out[[name]] <<- list(par = split(unname(p), names(p)), se = split(unname(se), names(p)), loglik = -o$fn(p)[1])
}
tmb("gaussian", num ~ x + (1 | g), gaussian(), REML = FALSE)
tmb("gaussian_disp", num ~ x + (1 | g), gaussian(), dispformula = ~ z)
tmb("binomial_slope", bin ~ x + (1 | g), binomial())
tmb("binomial_probit", cbind(suc, m - suc) ~ x + f + (1 | g), binomial("probit"))
tmb("binomial_cloglog", cbind(suc, m - suc) ~ x + (1 | g), binomial("cloglog"))
tmb("poisson_slope", cnt ~ x + f + (1 + x | g), poisson())
tmb("poisson_offset", cnt ~ x + offset(log(expo)) + (1 | g), poisson())
tmb("poisson_crossed", cnt ~ x + (1 | g) + (1 | h), poisson())
tmb("nbinom2", nb ~ x + (1 | g), nbinom2())
tmb("nbinom1", nb ~ x + (1 | g), nbinom1())
tmb("nbinom2_disp", nb ~ x + (1 | g), nbinom2(), dispformula = ~ z)
tmb("gamma_log", gam ~ x + (1 | g), Gamma("log"))
tmb("beta", prop ~ x + (1 | g), beta_family())
tmb("zip", zip ~ x + (1 | g), poisson(), ziformula = ~ z)
tmb("zinb2", zinb ~ x + (1 | g), nbinom2(), ziformula = ~ 1)
tmb("hurdle_poisson", zip ~ x + (1 | g), truncated_poisson(), ziformula = ~ z)
tmb("hurdle_nbinom2", zinb ~ x + (1 | g), truncated_nbinom2(), ziformula = ~ 1)
tmb("plain_nbinom2", nb ~ x + f, nbinom2())
tmb("plain_nbinom1", nb ~ x + f, nbinom1())
tmb("plain_gamma", gam ~ x + f, Gamma("log"))
tmb("plain_gamma_inverse", gam ~ 1 + z, Gamma("inverse"))
tmb("plain_beta", prop ~ x + f, beta_family())
tmb("plain_zip", zip ~ x, poisson(), ziformula = ~ z)
tmb("plain_weights", cnt ~ x, poisson(), weights = m)
tmb("plain_probit", cbind(suc, m - suc) ~ x + f, binomial("probit"))
tmb("plain_gaussian", num ~ x + f, gaussian())

plain <- function(name, fit) {
  out[[name]] <<- list(par = list(beta = unname(coef(fit))), se = list(beta = unname(sqrt(diag(vcov(fit))))),
                       loglik = as.numeric(logLik(fit)))
}
tight <- glm.control(1e-14, 100)
plain("glm_logit", glm(bin ~ x + f, binomial(), d, control = tight))
plain("glm_binomial", glm(cbind(suc, m - suc) ~ x + f, binomial(), d, control = tight))
plain("glm_poisson", glm(cnt ~ x + f + offset(log(expo)), poisson(), d, control = tight))
plain("glm_sqrt", glm(cnt ~ x, poisson("sqrt"), d, control = tight))
plain("glm_cauchit", glm(bin ~ x, binomial("cauchit"), d, control = tight))
plain("glm_inverse_gaussian", glm(gam ~ x, inverse.gaussian("log"), d, control = tight))
for (link in c("logistic", "probit", "cloglog")) {
  fit <- polr(ord ~ x + f, d, method = link, Hess = TRUE, control = list(reltol = 1e-16, maxit = 1000))
  out[[paste0("polr_", link)]] <- list(
    par = list(beta = unname(coef(fit)), tau = unname(fit$zeta)),
    se = list(beta = unname(sqrt(diag(vcov(fit)))[1:3]), tau = unname(sqrt(diag(vcov(fit)))[4:6])),
    loglik = as.numeric(logLik(fit)))
}
agq <- function(name, formula, family, nodes) {
  fit <- glmer(formula, d, family, nAGQ = nodes, control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-13,
               optCtrl = list(rhobeg = 1e-2, rhoend = 1e-9, maxfun = 1e5)))
  out[[name]] <<- list(par = list(beta = unname(fixef(fit)), theta = unname(getME(fit, "theta"))),
                       se = list(beta = unname(sqrt(diag(as.matrix(vcov(fit, use.hessian = TRUE)))))))
}
agq("agq9_binomial", cbind(suc, m - suc) ~ x + f + (1 | g), binomial(), 9)
agq("agq15_poisson", cnt ~ x + (1 | g), poisson(), 15)
d$ord <- as.character(d$ord)
write(toJSON(list(data = d, fits = out), digits = NA, auto_unbox = FALSE, dataframe = "columns"), "glmm_reference.json")

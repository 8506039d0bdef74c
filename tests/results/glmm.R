# Writes glmm.json, the numbers that the tests of GlmmFit expect: Rscript glmm.R > glmm.json
suppressMessages({library(lme4); library(glmmTMB); library(ordinal); library(jsonlite)})
options(show.signif.stars = FALSE)
tight <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhobeg = 0.02, rhoend = 1e-9, maxfun = 1e5))
first <- function(x, n = 6) unname(as.numeric(x)[1:n])

lme4_numbers <- function(fit, new, allow = FALSE) {
  re <- ranef(fit, condVar = TRUE)
  modes <- lapply(re, function(g) unname(as.matrix(g)[1:4, , drop = FALSE]))
  sds <- lapply(re, function(g) t(sqrt(apply(attr(g, "postVar"), 3, diag)))[seq_len(4 * (ncol(g) > 1)), ])
  sds1 <- lapply(re, function(g) sqrt(attr(g, "postVar")[1, 1, 1:4]))
  list(
    fixef = as.numeric(fixef(fit)), se = as.numeric(sqrt(diag(vcov(fit)))), theta = as.numeric(getME(fit, "theta")),
    loglik = as.numeric(logLik(fit)), deviance = deviance(fit), modes = modes, sds = sds1, sds_all = sds,
    vcov = as.data.frame(VarCorr(fit))$vcov, sdcor = as.data.frame(VarCorr(fit))$sdcor,
    fitted = first(fitted(fit)), link = first(predict(fit)),
    marginal = first(predict(fit, re.form = NA, type = "response")),
    residuals = sapply(c("deviance", "pearson", "response", "working"), function(t) first(residuals(fit, type = t))),
    new_link = as.numeric(predict(fit, new, allow.new.levels = allow)),
    new_response = as.numeric(predict(fit, new, type = "response", allow.new.levels = allow)),
    summary = sub(" +$", "", capture.output(print(summary(fit))))
  )
}
tmb_numbers <- function(fit, new) {
  s <- summary(fit)$coefficients
  sdr <- fit$sdr
  p <- predict(fit, new, se.fit = TRUE, type = "link")
  r <- predict(fit, new, se.fit = TRUE, type = "response")
  modes <- ranef(fit)$cond[[1]]
  list(
    par = as.numeric(fit$fit$par), names = names(fit$fit$par), cov = unname(as.matrix(sdr$cov.fixed)),
    loglik = as.numeric(logLik(fit)), sigma = sigma(fit),
    cond = unname(s$cond), zi = if (is.null(s$zi)) NULL else unname(s$zi), disp = if (is.null(s$disp)) NULL else unname(s$disp),
    modes = unname(as.matrix(modes)[1:4, , drop = FALSE]), sds = sqrt(attr(modes, "condVar")[1, 1, 1:4]),
    fitted = first(fitted(fit)), mu = first(predict(fit, type = "conditional")), zprob = first(predict(fit, type = "zprob")),
    pearson = first(residuals(fit, type = "pearson")), response = first(residuals(fit, type = "response")),
    new_link = p$fit, new_link_se = p$se.fit, new_response = r$fit, new_response_se = r$se.fit,
    summary = sub(" +$", "", capture.output(print(summary(fit))))
  )
}

sleepstudy$x <- sleepstudy$Days / 10
i <- 0:179
sleepstudy$count <- ifelse((i * 7919) %% 5 == 0, 0, floor((i * 104729) %% 11 * exp((i %/% 10) %% 4 / 3)))
sleepstudy$grade <- cut(sleepstudy$Reaction, c(0, 250, 300, 350, 1000), labels = c("A", "B", "C", "D"), ordered_result = TRUE)
Penicillin$area <- (Penicillin$diameter - 17)^2
new_herd <- data.frame(period = c("1", "3", "4"), herd = c("1", "7", "15"))
new_days <- data.frame(Days = c(0, 5, 12), x = c(0, 0.5, 1.2), Subject = c("308", "350", "372"))
out <- list(
  cbpp = lme4_numbers(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial, control = tight), new_herd),
  cbpp9 = lme4_numbers(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial, nAGQ = 9, control = tight), new_herd),
  poisson = lme4_numbers(glmer(round(Reaction) ~ x + (x | Subject), sleepstudy, poisson, control = tight), new_days),
  crossed = lme4_numbers(glmer(area ~ 1 + (1 | plate) + (1 | sample), Penicillin, poisson, control = tight),
                         data.frame(plate = c("a", "zz"), sample = c("A", "F")), allow = TRUE),
  gamma = tmb_numbers(glmmTMB(Reaction ~ x + (1 | Subject), sleepstudy, Gamma("log")), new_days),
  zinb = tmb_numbers(glmmTMB(count ~ x + (1 | Subject), sleepstudy, nbinom2, ziformula = ~ x), new_days),
  tmb_crossed = tmb_numbers(glmmTMB(area ~ 1 + (1 | plate) + (1 | sample), Penicillin, poisson),
                            data.frame(plate = c("a", "c"), sample = c("A", "F"))),
  hurdle = tmb_numbers(glmmTMB(count ~ x + (1 | Subject), sleepstudy, truncated_nbinom2, ziformula = ~ x), new_days),
  disp = tmb_numbers(glmmTMB(Reaction ~ x + (x | Subject), sleepstudy, dispformula = ~ x), new_days)
)
m <- clmm(grade ~ x + (1 | Subject), sleepstudy, control = clmm.control(gradTol = 1e-8))
out$ordinal <- list(
  coefficients = unname(coef(summary(m))), sd = as.numeric(sqrt(VarCorr(m)$Subject)), loglik = as.numeric(logLik(m)),
  fitted = first(fitted(m)), modes = first(ranef(m)$Subject[[1]], 4), sds = first(sqrt(condVar(m)$Subject[[1]]), 4)
)
cat(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = FALSE), "\n")

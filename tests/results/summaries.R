# Writes summaries.txt, the summaries that test_summary.py expects: Rscript summaries.R > summaries.txt
suppressMessages({library(lme4); library(lmerTest)})
options(show.signif.stars = FALSE)
data(MathAchieve, package = "nlme")
tight <- lmerControl("bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), check.conv.singular = "ignore")
fit <- function(formula, data, ...) suppressMessages(lme4::lmer(formula, data, control = tight, ...))
section <- function(name, model) {
  text <- suppressMessages(capture.output(print(summary(model))))
  text <- sub(" +$", "", text)
  cat("=== ", name, "\n", paste0(text, "\n"), sep = "")
}
missing <- transform(sleepstudy, Z = 2 * Days)
missing$Reaction[3:5] <- NA
scaled <- transform(sleepstudy, tiny = Reaction * 1e-8, huge = Reaction * 1e8)

section("sleepstudy", fit(Reaction ~ Days + (Days | Subject), sleepstudy))
section("sleepstudy ML", fit(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE))
section("uncorrelated", fit(Reaction ~ Days + (Days || Subject), sleepstudy))
section("uncorrelated ML", fit(Reaction ~ Days + (Days || Subject), sleepstudy, REML = FALSE))
section("Penicillin", fit(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin))
section("Pastes", fit(strength ~ 1 + (1 | batch/cask), Pastes))
section("MathAchieve", fit(MathAch ~ SES * Sex + Minority + MEANSES + (SES | School), MathAchieve))
section("missing", fit(Reaction ~ Days + Z + I(Days^2/10) + (Days + I(Days^2/10) | Subject), missing))
section("tiny", fit(tiny ~ Days + (Days | Subject), scaled))
section("huge", fit(huge ~ Days + (Days | Subject), scaled))
section("many levels", fit(Reaction ~ factor(Days) + (1 | Subject), sleepstudy))
section("no fixed intercept", fit(Reaction ~ 0 + factor(Days) + (1 | Subject), sleepstudy))
section("lm", lm(Reaction ~ Days, sleepstudy))
section("lm without intercept", lm(Reaction ~ 0 + factor(Days), sleepstudy))
section("lm weighted", lm(Reaction ~ Days, sleepstudy, weights = 1 + Days))
section("lm of a mean", lm(Reaction ~ 1, sleepstudy))

# lmerTest's tables of the fixed effects
fit <- function(formula, data, ...) suppressMessages(lmerTest::lmer(formula, data, control = tight, ...))
tests <- function(name, model) {
  text <- suppressMessages(capture.output(print(summary(model))))
  text <- sub(" +$", "", text)
  from <- grep("^Fixed effects:", text)
  to <- c(grep("^$", text), length(text) + 1)
  cat("=== ", name, "\n", paste0(text[from:(min(to[to > from]) - 1)], "\n"), sep = "")
}
tests("sleepstudy tests", fit(Reaction ~ Days + (Days | Subject), sleepstudy))
tests("sleepstudy ML tests", fit(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE))
tests("Penicillin tests", fit(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin))
tests("Pastes tests", fit(strength ~ 1 + (1 | batch/cask), Pastes))
tests("MathAchieve tests", fit(MathAch ~ SES * Sex + Minority + MEANSES + (SES | School), MathAchieve))
tests("many levels tests", fit(Reaction ~ factor(Days) + (1 | Subject), sleepstudy))
anovas <- function(name, model, type) {
  table <- anova(model, type = type)
  cat("=== ", name, "\n", paste0(sub(" +$", "", capture.output(print(table))), "\n"), sep = "")
}
anovas("sleepstudy anova", fit(Reaction ~ Days + (Days | Subject), sleepstudy), 3)
anovas("MathAchieve anova", fit(MathAch ~ SES * Sex + Minority + MEANSES + (SES | School), MathAchieve), 2)
anovas("many levels anova", fit(Reaction ~ factor(Days) + (1 | Subject), sleepstudy), 1)

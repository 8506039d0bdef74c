# Rscript anova.R FOLDER: analyses of variance of FOLDER/*.csv by lmerTest, car and nlme; writes FOLDER/anova.json.
# test_anova.py says which models these are for jmix; terms that lmerTest takes for others (nested factors, matrices) are left out there.
suppressMessages({library(lme4); library(lmerTest); library(car); library(splines); library(nlme); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), check.conv.singular = "ignore")
cells <- read("cells"); pups <- read("pups"); plots <- read("plots"); people <- read("Contraception")
pups$dose <- factor(pups$treatment, levels = c("Control", "Low", "High"), ordered = TRUE)
coded <- list(f = "contr.sum", h = "contr.helmert")
table_of <- function(x) {m <- as.data.frame(x); c(list(rows = as.list(rownames(m))), lapply(m, as.list))}
mixed <- function(formula, data, contrasts = NULL, types = 1:3) {
  m <- suppressMessages(lmerTest::lmer(formula, data, control = control, contrasts = contrasts))
  setNames(lapply(types, function(k) suppressMessages(suppressWarnings(table_of(anova(m, type = k))))), c("I", "II", "III")[types])
}
out <- list(
  sum = mixed(y ~ f * h + x + (1 | g), cells, coded), noint = mixed(y ~ 0 + f * h + x + (1 | g), cells),
  poly = mixed(y ~ f * poly(x, 2) + (1 | g), cells, types = c(1, 3)), spline = mixed(y ~ h * ns(x, 3) + f + (1 | g), cells, types = c(1, 3)),
  three = mixed(y ~ f * h * x + (1 | g), cells, coded),
  missing = mixed(y ~ f * k * h + x + (1 | g), cells, list(f = "contr.sum", k = "contr.sum", h = "contr.helmert")),
  ordered = mixed(weight ~ sex * dose + lsize + (1 | litter), pups, list(sex = "contr.sum")),
  cellmeans = mixed(y ~ f:h + x + (1 | g), cells), nested = mixed(y ~ variety / nitro + (1 | block / plot), plots, types = 1))
m <- lm(y ~ f * h + x * f, cells, contrasts = list(f = "contr.sum", h = "contr.sum"), weights = w)
out$lm <- list(I = table_of(anova(m)), II = table_of(Anova(m, type = 2)), III = table_of(Anova(m, type = 3)[-1, ]))
m <- glmer(use ~ age + urban * livch + (1 | district), people, family = binomial, contrasts = list(urban = "contr.sum", livch = "contr.sum"),
           control = glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9)))
out$glmm <- list(II = table_of(Anova(m, type = 2)), III = table_of(Anova(m, type = 3)[-1, ]))
plots$x <- rep(0:4, length.out = nrow(plots))
df_of <- function(fixed, random, data) as.list(lme(fixed, random = random, data = data)$fixDF$X)
out$containment <- list(split = df_of(y ~ variety * nitro + x, ~ 1 | block / plot, plots), noint = df_of(y ~ 0 + variety + x, ~ 1 | block / plot, plots),
                        pups = df_of(weight ~ sex * treatment + lsize, ~ 1 | litter, pups))
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null"), file.path(folder, "anova.json"))

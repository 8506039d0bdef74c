# The process in which lme4 draws parametric bootstraps: Rscript bootstrap.R model count repeats budget
suppressPackageStartupMessages(library(lme4))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "columns.R"))
arguments <- commandArgs(trailingOnly = TRUE)
count <- as.integer(arguments[2])
repeats <- as.integer(arguments[3])
budget <- as.numeric(arguments[4])
quietly <- function(x) suppressMessages(suppressWarnings(x))

fit <- quietly(if (arguments[1] == "cbpp") {
  glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial)
} else {
  lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
})
begin <- clock()
for (i in seq_len(repeats)) {
  if (i > 1 && clock() - begin > budget) break
  start <- Sys.time()
  drawn <- quietly(bootMer(fit, fixef, nsim = count, seed = i))
  report(seconds = sprintf("%.9g", as.numeric(difftime(Sys.time(), start, units = "secs"))))
}
report(mean = number(colMeans(drawn$t)), sd = number(apply(drawn$t, 2, sd)))

# The process in which lme4 computes profile intervals: Rscript profile.R model formula repeats budget
suppressPackageStartupMessages(library(lme4))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "columns.R"))
arguments <- commandArgs(trailingOnly = TRUE)
model <- as.formula(arguments[2])
repeats <- as.integer(arguments[3])
budget <- as.numeric(arguments[4])
quietly <- function(x) suppressMessages(suppressWarnings(x))

data <- get(arguments[1])
fit <- quietly(if (arguments[1] == "cbpp") glmer(model, data, binomial) else lmer(model, data))
begin <- clock()
for (i in seq_len(repeats)) {
  if (i > 1 && clock() - begin > budget) break
  start <- Sys.time()
  limits <- quietly(confint(fit, method = "profile", oldNames = FALSE))
  report(seconds = sprintf("%.9g", as.numeric(difftime(Sys.time(), start, units = "secs"))))
}
sds <- limits[grepl("^sd_", rownames(limits)), , drop = FALSE]
report(first = number(limits["(Intercept)", ]), sds = number(t(sds)))

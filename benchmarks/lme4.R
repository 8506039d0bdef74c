# The process in which lme4 does one job: Rscript lme4.R task folder formula reml repeats budget count
suppressPackageStartupMessages(library(lme4))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "columns.R"))
arguments <- commandArgs(trailingOnly = TRUE)
task <- arguments[1]
folder <- arguments[2]
model <- as.formula(arguments[3])
reml <- arguments[4] == "true"
repeats <- as.integer(arguments[5])
budget <- as.numeric(arguments[6])
count <- as.integer(arguments[7])

timed <- function(work) {
  begin <- clock()
  for (i in seq_len(repeats)) {
    if (i > 1 && clock() - begin > budget) break
    start <- Sys.time()
    result <- work()
    report(seconds = sprintf("%.9g", as.numeric(difftime(Sys.time(), start, units = "secs"))))
  }
  result
}
fit <- function(data) lmer(model, data, REML = reml)
quietly <- function(x) suppressMessages(suppressWarnings(x))
resident <- function(field) {
  line <- grep(paste0("^", field), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) * 1024
}

data <- read_columns(folder)
invisible(lmer(Reaction ~ Days + (Days | Subject), sleepstudy))
if (task == "fit") {
  result <- quietly(timed(function() fit(data)))
  report(loglik = sprintf("%.17g", as.numeric(logLik(result))), beta = number(fixef(result)),
         sigma = sprintf("%.17g", sigma(result)))
} else if (task == "memory") {
  report(data_bytes = sprintf("%.0f", as.numeric(object.size(data))))
  for (i in 1:2) {
    invisible(gc())
    cat("5", file = "/proc/self/clear_refs")
    start <- resident("VmRSS")
    quietly(fit(data))
    report(growth_bytes = sprintf("%.0f", max(0, resident("VmHWM") - start)))
  }
} else if (task == "refit") {
  responses <- matrix(readBin(file.path(folder, "responses.bin"), "double", n = count * nrow(data)), nrow(data))
  first <- quietly(fit(data))
  fits <- quietly(timed(function() lapply(seq_len(count), function(i) refit(first, responses[, i]))))
  betas <- paste0("[", paste(sapply(fits, function(f) number(fixef(f))), collapse = ","), "]")
  report(logliks = number(sapply(fits, function(f) as.numeric(logLik(f)))), betas = betas)
} else if (task == "evaluate") {
  objective <- quietly(lmer(model, data, REML = reml, devFunOnly = TRUE))
  theta <- c(0.9, 0.1, 0.8)
  report(value = sprintf("%.17g", objective(theta)))
  invisible(timed(function() objective(theta)))
}

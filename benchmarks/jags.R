# The process in which JAGS samples one model: Rscript jags.R job.dcf
# Reports seconds by stage and writes the draws, parameters fastest, then iterations, then chains, to a file.
suppressPackageStartupMessages(library(rjags))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "columns.R"))
job <- as.list(read.dcf(commandArgs(trailingOnly = TRUE)[1])[1, ])
whole <- function(name) as.integer(job[[name]])
words <- function(name) strsplit(job[[name]], "[, ]+")[[1]]

frame <- read_columns(job$folder)
columns <- lapply(frame[words("columns")], function(x) if (is.factor(x)) as.integer(x) else x)
given <- c(columns, lapply(read.dcf(job$constants)[1, ], as.numeric))
if (job$glm == "true") load.module("glm", quiet = TRUE)

chains_of_one_process <- function(seeds) {
  start <- clock()
  inits <- lapply(seeds, function(s) list(.RNG.name = "base::Mersenne-Twister", .RNG.seed = s))
  model <- jags.model(job$model, given, inits, n.chains = length(seeds), n.adapt = 0, quiet = TRUE)
  compiled <- clock()
  adapt(model, whole("adapt"), end.adaptation = TRUE, progress.bar = "none")
  update(model, whole("burnin"), progress.bar = "none")
  tuned <- clock()
  iterations <- whole("iterations")
  if (iterations == 0) {
    # As many as fit into the given seconds, from the pace of a trial
    trial <- 200
    repeat {
      before <- clock()
      update(model, trial, progress.bar = "none")
      if (clock() - before > 0.5) break
      trial <- 2 * trial
    }
    iterations <- max(100, round(as.numeric(job$seconds) * trial / (clock() - before)))
  }
  before <- clock()
  samples <- jags.samples(model, words("monitor"), iterations, progress.bar = "none")
  seconds <- clock() - before
  list(draws = samples, compile = compiled - start, tune = tuned - compiled, sample = seconds)
}
seeds <- whole("seed") + seq_len(whole("chains"))
processes <- whole("processes")
runs <- if (processes == 1) list(chains_of_one_process(seeds)) else
  parallel::mclapply(split(seeds, seq_along(seeds) %% processes), chains_of_one_process, mc.cores = processes)
failed <- Filter(function(run) inherits(run, "try-error"), runs)
if (length(failed)) stop(failed[[1]])

flat <- function(run) {
  # (parameters, iterations, chains)
  parts <- lapply(words("monitor"), function(name) unclass(run$draws[[name]]))
  array(do.call(rbind, lapply(parts, function(p) matrix(p, nrow = dim(p)[1]))), c(sum(sapply(parts, function(p) dim(p)[1])), dim(parts[[1]])[-1]))
}
label <- function(name) {
  size <- dim(runs[[1]]$draws[[name]])[1]
  if (size == 1) name else sprintf("%s[%d]", name, seq_len(size))
}
draws <- lapply(runs, flat)
shortest <- min(sapply(draws, function(d) dim(d)[2]))
draws <- lapply(draws, function(d) d[, seq_len(shortest), , drop = FALSE])
all <- array(unlist(draws), c(dim(draws[[1]])[1:2], whole("chains")))
names <- unlist(lapply(words("monitor"), label))
print(data.frame(mean = apply(all, 1, mean), sd = apply(all, 1, sd), row.names = names))
before <- clock()
writeBin(as.vector(all), job$draws)
slowest <- function(part) sprintf("%.6g", max(sapply(runs, `[[`, part)))
report(names = paste0("[", paste(sprintf("\"%s\"", names), collapse = ","), "]"), shape = number(rev(dim(all))),
       compile = slowest("compile"), tune = slowest("tune"), sample = slowest("sample"), writing = sprintf("%.6g", clock() - before))

# Writes, for each case on standard input, what R makes of the response and of the formulas beside the main one.
# Case: family<TAB>formula<TAB>weights<TAB>offset<TAB>disp<TAB>zi, empty where left out; random terms as (expr | group).
# Lines: F<TAB>case, N<TAB>rows<TAB>levels, then kind<TAB>name<TAB>sum1<TAB>sum2 for Y (the response: successes of a
# binomial one), S (trials), O (offset) and the columns X, D (disp) and V (zi).
suppressMessages(library(lme4))
n <- 48
i <- seq_len(n)
d <- data.frame(
  m = i %% 5, n = 4 + i %% 3, x = sin(i * 1.7) * 3, z = cos(i * 0.9) + 2, k = i %% 4, t = exp(cos(i)),
  yes = factor(c("no", "yes")[(i * i) %% 7 %% 2 + 1]), zero = (i * 3) %% 7 %/% 4, l = sin(i) > 0,
  a = factor(c("p", "q", "r")[i %% 3 + 1]),
  o = factor(c("lo", "mid", "hi", "top")[(i %/% 5) %% 4 + 1], levels = c("lo", "mid", "hi", "top"), ordered = TRUE),
  g = factor(c("g1", "g2", "g3", "g4", "g5", "g6")[(i %/% 3) %% 6 + 1]))
d$p <- d$m / d$n
d$m[7] <- d$x[9] <- d$z[11] <- d$n[13] <- d$t[15] <- d$p[17] <- NA
d$yes[19] <- d$o[21] <- d$g[23] <- d$l[25] <- d$a[27] <- NA
sums <- function(kind, name, v, rows) {
  cat(kind, name, sprintf("%.12e", sum(v * rows / 48)), sprintf("%.12e", sum(v * cos(rows))), sep = "\t")
  cat("\n")
}
matrix_sums <- function(kind, f, frame, rows) {
  X <- model.matrix(f, model.frame(f, frame, drop.unused.levels = TRUE))
  if (kind == "X" && case[1] == "cumulative") X <- X[, -1, drop = FALSE]
  for (j in colnames(X)) sums(kind, j, X[, j], rows)
}
for (text in readLines(file("stdin"))) {
  case <- strsplit(paste0(text, "\t;"), "\t")[[1]]
  main <- as.formula(case[2])
  sides <- list(D = case[5], V = case[6])
  sides <- lapply(sides[nzchar(unlist(sides))], as.formula)
  used <- unique(c(all.vars(main), case[3:4][nzchar(case[3:4])], unlist(lapply(sides, all.vars))))
  rows <- which(complete.cases(d[used]))
  frame <- droplevels(d[rows, ])
  fixed <- nobars(main)
  mf <- model.frame(fixed, frame)
  y <- model.response(mf, "any")
  weights <- if (nzchar(case[3])) frame[[case[3]]] else rep(1, length(rows))
  size <- NULL
  if (case[1] %in% c("binomial", "bernoulli")) {
    levels <- if (is.factor(y)) levels(y)
    counts <- is.matrix(y)
    nobs <- length(rows)
    prior <- weights
    eval(binomial()$initialize)
    size <- if (counts) weights / prior else weights
    y <- y * size
  } else {
    levels <- if (case[1] == "cumulative") levels(factor(y))
    y <- if (case[1] == "cumulative") as.integer(factor(y)) - 1 else as.numeric(y)
  }
  cat("F\t", text, "\nN\t", length(rows), "\t", paste(levels, collapse = "|"), "\n", sep = "")
  sums("Y", "", y, rows)
  if (!is.null(size)) sums("S", "", size, rows)
  offset <- model.offset(mf)
  if (nzchar(case[4])) offset <- frame[[case[4]]] + if (is.null(offset)) 0 else offset
  if (!is.null(offset)) sums("O", "", offset, rows)
  matrix_sums("X", fixed[-2], frame, rows)
  for (kind in names(sides)) matrix_sums(kind, sides[[kind]], frame, rows)
}

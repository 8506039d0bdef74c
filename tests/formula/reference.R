# Writes, for each formula on standard input, what R's model.matrix and lme4's lFormula make of it.
# One line per item: F<TAB>formula, then C<TAB>column<TAB>sum1<TAB>sum2 and Z<TAB>group<TAB>names<TAB>levels<TAB>sums.
suppressMessages(library(lme4))
n <- 48
i <- seq_len(n)
d <- data.frame(
  y = 10 + sin(i * 1.3) + i / 16, x = sin(i * 1.7) * 3, z = cos(i * 0.9) + 2, k = i %% 5,
  a = factor(c("p", "q", "r")[i %% 3 + 1]), b = factor(c("u", "v", "w", "t")[(i * i) %% 7 %% 4 + 1]),
  o = factor(c("lo", "mid", "hi", "top")[(i %/% 5) %% 4 + 1], levels = c("lo", "mid", "hi", "top"), ordered = TRUE),
  g = factor(c("g1", "g2", "g3", "g4", "g5", "g6")[(i %/% 3) %% 6 + 1]), h = factor((i * 5) %% 11 + 1),
  l = sin(i) > 0, school.id = (i * 3) %% 8 * 5, stringsAsFactors = FALSE)
w1 <- i / n
w2 <- cos(i)
num <- function(v) paste(sprintf("%.12e", v), collapse = ",")
control <- lmerControl(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore", check.nobs.vs.rankZ = "ignore",
                       check.rankX = "silent.drop.cols")
for (text in readLines(file("stdin"))) {
  f <- as.formula(text)
  cat("F\t", text, "\n", sep = "")
  if (grepl("|", text, fixed = TRUE)) {
    parts <- lFormula(f, d, control = control)
    X <- parts$X
  } else {
    parts <- NULL
    X <- model.matrix(f, model.frame(f, d, drop.unused.levels = TRUE))
  }
  for (j in colnames(X)) cat("C\t", j, "\t", num(sum(w1 * X[, j])), "\t", num(sum(w2 * X[, j])), "\n", sep = "")
  for (t in seq_along(parts$reTrms$cnms)) {
    group <- names(parts$reTrms$cnms)[t]
    cat("Z\t", group, "\t", paste(parts$reTrms$cnms[[t]], collapse = "|"), "\t",
        paste(levels(parts$reTrms$flist[[group]]), collapse = "|"), "\t",
        num(as.vector(parts$reTrms$Ztlist[[t]] %*% w1)), "\n", sep = "")
  }
}

# What every R contestant does: read the columns that data.py wrote, and report to the parent.
clock <- function() proc.time()[["elapsed"]]
number <- function(x) paste0("[", paste(sprintf("%.17g", x), collapse = ","), "]")
report <- function(...) {
  fields <- list(...)
  cat("@@{", paste(sprintf("\"%s\":%s", names(fields), unlist(fields)), collapse = ","), "}\n", sep = "")
}
read_columns <- function(folder) {
  columns <- read.table(file.path(folder, "columns.txt"), header = TRUE, stringsAsFactors = FALSE)
  frame <- lapply(seq_len(nrow(columns)), function(i) {
    what <- if (columns$kind[i] == "double") "double" else "integer"
    values <- readBin(file.path(folder, paste0(columns$name[i], ".bin")), what, n = columns$rows[i])
    if (columns$kind[i] != "factor") return(values)
    levels <- readLines(file.path(folder, paste0(columns$name[i], ".levels")))
    factor(levels[values + 1L], levels = levels)
  })
  names(frame) <- columns$name
  as.data.frame(frame)
}

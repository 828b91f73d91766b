# Reads R expressions, one a line, and answers each with one line: "ok" and its numbers, or "error" and why.
suppressMessages(library(metafor))

# Mean seconds of n calls of f.
seconds <- compiler::cmpfun(function(f, n) {
  start <- Sys.time()
  for (i in seq_len(n)) f()
  as.numeric(Sys.time() - start, units = "secs") / n
})

answer <- function(line) {
  value <- eval(parse(text = line), globalenv())
  paste(c("ok", sprintf("%.17g", as.numeric(value))), collapse = " ")
}

input <- file("stdin", open = "r")
while (length(line <- readLines(input, n = 1L)) > 0L) {
  text <- tryCatch(suppressWarnings(answer(line)), error = function(e) {
    paste("error", gsub("\n", " ", conditionMessage(e)))
  })
  writeLines(text)
  flush(stdout())
}

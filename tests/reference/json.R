# JSON with 17 digits: what the scripts of this folder write. Lists become objects, vec() marks an array.
num <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
json <- function(x, indent = "") {
  if (is.null(x)) return("null")
  if (is.list(x)) {
    deeper <- paste0(indent, " ")
    items <- vapply(x, json, "", indent = deeper)
    if (is.null(names(x))) return(paste0("[", paste(items, collapse = ", "), "]"))
    lines <- paste0(deeper, "\"", names(x), "\": ", items)
    return(paste0("{\n", paste(lines, collapse = ",\n"), "\n", indent, "}"))
  }
  named <- !is.null(names(x))
  body <- if (is.character(x)) encodeString(x, quote = "\"") else if (is.logical(x)) ifelse(is.na(x), "null", tolower(x)) else num(x)
  if (named) return(paste0("{", paste0("\"", names(x), "\": ", body, collapse = ", "), "}"))
  if (length(x) == 1L && is.null(attr(x, "vector"))) body else paste0("[", paste(body, collapse = ", "), "]")
}
vec <- function(x) structure(as.numeric(x), vector = TRUE)
txt <- function(x) structure(as.character(x), vector = TRUE)

# Who has no other allele than this one, where are they from, and what else does the first of them carry in the gene?
#
#   Rscript carriers.R rs4813331 http://127.0.0.1:8000/graphql
#
# Needs R 4.1 and httr2: install.packages("httr2"), or Debian's r-cran-httr2.

library(httr2)

arguments <- commandArgs(trailingOnly = TRUE)
id <- if (length(arguments) >= 1) arguments[[1]] else "rs4813331"
url <- if (length(arguments) >= 2) arguments[[2]] else Sys.getenv("VKG_URL", "http://127.0.0.1:8000/graphql")
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
operations <- file.path(if (length(script) > 0) dirname(script) else ".", "..", "operations")
options(scipen = 999) # 100000, not 1e+05

# Ends the script with a message.
end <- function(status, ...) {
  if (interactive()) stop(..., call. = FALSE)
  message(...)
  quit(status = status)
}

# The data that a saved operation (examples/operations) gives for some variables. Lists in, lists out: what is null is NULL.
ask <- function(operation, ...) {
  query <- paste(readLines(file.path(operations, paste0(operation, ".graphql"))), collapse = "\n")
  answer <- tryCatch(
    request(url) |>
      req_body_json(list(query = query, variables = list(...))) |>
      req_timeout(60) |>
      req_error(is_error = function(response) FALSE) |> # errors come as JSON, too, so the status adds nothing
      req_perform(),
    error = function(e) end(2, "No answer from ", url, ": ", conditionMessage(if (is.null(e$parent)) e else e$parent))
  )
  body <- tryCatch(resp_body_json(answer, check_type = FALSE), error = function(e) NULL)
  if (length(body$errors) > 0) {
    end(2, paste(vapply(body$errors, function(e) paste(c(e$extensions$code, e$message, e$extensions$hint), collapse = ": "), ""), collapse = "\n"))
  }
  if (is.null(body$data)) end(2, url, " is not where a GraphQL server answers.")
  body$data
}

# All rows of a list, a page at a time. `page` asks for the rows after a cursor; cursors keep to the data that the first page was read from.
all_of <- function(page) {
  rows <- list()
  after <- NULL
  repeat {
    read <- page(after)
    rows <- c(rows, read$edges)
    if (!isTRUE(read$pageInfo$hasNextPage)) return(rows)
    after <- read$pageInfo$endCursor
  }
}

or <- function(value, other) if (is.null(value)) other else value
percent <- function(frequency) if (is.null(frequency)) "?" else sprintf("%.1f %%", 100 * frequency)
line <- function(...) cat(..., "\n", sep = "")
joined <- function(texts, otherwise) if (length(texts) > 0) paste(texts, collapse = ", ") else otherwise

variant <- ask("variant", id = id)$variant
if (is.null(variant)) end(1, "The store has no variant ", id, ".")
genes <- vapply(variant$genes$edges, function(edge) paste(tolower(edge$relation), edge$node$symbol), "")
line(variant$name, " (", joined(variant$rsids, "no rsID"), "), ", variant$type, ", ", joined(genes, "far from any gene"))

line()
line("How common it is")
for (f in variant$populationFrequencies) {
  line("  ", f$population, ": ", percent(f$frequency), ", ", or(f$alleleCount, "?"), " of ", or(f$alleleNumber, "?"), " alleles")
}

carriers <- all_of(function(after) {
  ask("variant_carriers", id = variant$name, zygosity = list("HOM_ALT", "HEMI"), first = 20, after = after)$variant$carriers
})
line()
line("People who have no other allele: ", length(carriers))
people <- data.frame(
  name = vapply(carriers, function(edge) edge$node$name, ""),
  home = vapply(carriers, function(edge) or(edge$node$population$name, "unknown"), "")
)
for (home in sort(unique(people$home), method = "radix")) {
  names <- people$name[people$home == home]
  line("  ", home, ": ", length(names), ", ", paste(head(names, 3), collapse = " "), if (length(names) > 3) " ...")
}

if (length(carriers) > 0 && length(genes) > 0) {
  person <- carriers[[1]]$node
  gene <- variant$genes$edges[[1]]$node
  carried <- all_of(function(after) {
    ask("sample_variants", id = paste0(person$cohort, "/", person$name), gene = gene$geneId, first = 100, after = after)$sample$variants
  })
  line()
  line("What ", person$name, " carries in ", gene$symbol, ": ", length(carried), " variants, the rarest")
  rarity <- vapply(carried, function(row) as.numeric(or(row$node$frequency$frequency, Inf)), 0)
  for (row in head(carried[order(rarity)], 3)) {
    line("  ", row$node$name, " ", row$gt, " ", row$zygosity, ", ", percent(row$node$frequency$frequency))
  }
}

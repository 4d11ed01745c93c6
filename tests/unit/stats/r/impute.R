# Numbers of R's mice for tests/unit/stats/test_mice.py. Rscript impute.R reads data.tsv and writes imputed.tsv (five
# completed columns of age and group) and impute.json, here. Debian: apt-get install r-base-core r-cran-mice
suppressMessages(library(mice))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
d <- read.delim(file.path(here, "data.tsv"))[, c("gauss", "binary", "age", "group", "z")]
row <- seq_len(nrow(d))
d$age[d$gauss > median(d$gauss) & row %% 2 == 1] <- NA  # missing at random given gauss
d$group[row %% 10 == 3] <- NA
d$group <- factor(d$group)

json <- function(x) {  # named lists to objects, 12 digits
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ", "), "}"))
  if (is.character(x)) return(paste0('"', x, '"'))
  text <- formatC(x, digits = 12, format = "g", width = 1)
  if (length(x) == 1) text else paste0("[", paste(text, collapse = ", "), "]")
}
pooled <- function(fits) {  # the row of z, and its p by t
  row <- pool(fits)$pooled
  row <- row[row$term == "z", ]
  test <- summary(pool(fits))
  list(estimate = row$estimate, ubar = row$ubar, b = row$b, t = row$t, dfcom = row$dfcom, df = row$df, fmi = row$fmi,
       lambda = row$lambda, p = test$p.value[test$term == "z"])
}
by_pmm <- function(m, seed) {  # as neurovae imputes: gauss, z and the other confound explain each
  used <- d[, c("gauss", "age", "group", "z")]
  mice(used, m = m, maxit = 5, method = c("", "pmm", "pmm", ""), donors = 5, seed = seed, printFlag = FALSE)
}

tight <- glm.control(epsilon = 1e-14, maxit = 100)
few <- by_pmm(5, 1)
columns <- do.call(cbind, lapply(1:5, function(k) complete(few, k)[, c("age", "group")]))
names(columns) <- paste0(c("age_", "group_"), rep(1:5, each = 2))
write.table(format(columns, digits = 15), file.path(here, "imputed.tsv"), sep = "\t", quote = FALSE, row.names = FALSE)
linear <- with(few, lm(gauss ~ age + group + z))
logistic <- as.mira(lapply(1:5, function(k) glm(d$binary ~ age + group + z, binomial, complete(few, k), control = tight)))

many <- by_pmm(1000, 2)
gaps <- which(is.na(d$age))
out <- list(
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."), mice = as.character(packageVersion("mice"))),
  linear = pooled(linear),
  logistic = pooled(logistic),
  many = pooled(with(many, lm(gauss ~ age + group + z))),
  age = list(row = gaps, mean = rowMeans(many$imp$age), sd = apply(many$imp$age, 1, sd)),
  group = list(row = which(is.na(d$group)), mean = rowMeans(many$imp$group == "1"))
)
lines <- paste0('"', names(out), '": ', sapply(out, json))
writeLines(c("{", paste0(lines, c(rep(",", length(lines) - 1), "")), "}"), file.path(here, "impute.json"))

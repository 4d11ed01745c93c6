# Numbers of R's survival for tests/unit/stats/test_cox.py. Rscript survival.R reads simulated.tsv and writes
# survival.json, here. Debian: apt-get install r-base-core r-cran-survival
suppressMessages(library(survival))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
d <- read.delim(file.path(here, "simulated.tsv"))
d <- d[d$time > d$entry, ]
d$row <- seq_len(nrow(d))

json <- function(x) {  # named lists to objects, 12 digits
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ", "), "}"))
  if (is.character(x)) return(paste0('"', x, '"'))
  text <- formatC(x, digits = 12, format = "g", width = 1)
  if (length(x) == 1) text else paste0("[", paste(text, collapse = ", "), "]")
}
tight <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)
cox <- function(formula) {
  fit <- coxph(formula, d, ties = "efron", control = tight)
  robust <- coxph(formula, d, ties = "efron", control = tight, robust = TRUE, id = row)
  zph <- cox.zph(fit, transform = "identity", terms = TRUE, global = FALSE)$table
  list(coef = as.numeric(coef(fit)), se = sqrt(diag(fit$var)), loglik = fit$loglik, score = fit$score,
       robust = sqrt(diag(robust$var)), zph = as.numeric(zph[, "chisq"]), n = fit$n, events = fit$nevent)
}
out <- list(versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                            survival = as.character(packageVersion("survival"))),
            plain = cox(Surv(time, event) ~ a + b + c + d), late = cox(Surv(entry, time, event) ~ a + b + c + d),
            untied = cox(Surv(continuous, event) ~ a + b + c + d))
writeLines(json(out), file.path(here, "survival.json"))

# Numbers of R's lme4 for tests/unit/stats/test_growth.py. Rscript growth.R reads visits.tsv (visits.py makes it) and
# writes growth.json, here. Debian: apt-get install r-base-core r-cran-lme4
suppressMessages(library(lme4))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
d <- read.delim(file.path(here, "visits.tsv"))

json <- function(x) {  # named lists to objects, 12 digits
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ", "), "}"))
  if (is.character(x)) return(paste0('"', x, '"'))
  text <- formatC(x, digits = 12, format = "g", width = 1)
  if (length(x) == 1) text else paste0("[", paste(text, collapse = ", "), "]")
}
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-10, maxfun = 1e5))
growth <- function(y, random) {
  fit <- lmer(as.formula(paste(y, "~ age + years + confound +", random)), d, REML = TRUE, control = tight)
  stopifnot(!isSingular(fit))
  blup <- as.matrix(ranef(fit)$person)
  list(coef = fixef(fit), se = sqrt(diag(as.matrix(vcov(fit)))), loglik = as.numeric(logLik(fit)),
       random = as.numeric(VarCorr(fit)$person), residual = sigma(fit)^2, level = blup[, 1],
       slope = if (ncol(blup) > 1) blup[, 2] else 0 * blup[, 1])
}
names <- c("y0", "y1", "y2")
of <- function(random) setNames(lapply(names, growth, random = random), names)
out <- list(versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                            lme4 = as.character(packageVersion("lme4"))),
            slopes = of("(1 + years | person)"), levels = of("(1 | person)"))
writeLines(json(out), file.path(here, "growth.json"))

# Numbers of R, MASS and mgcv for tests/unit/stats/test_r.py. Rscript reference.R reads data.tsv and writes reference.json, here.
suppressMessages({library(MASS); library(mgcv)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
d <- read.delim(file.path(here, "data.tsv"))
n <- nrow(d)
d$ordered <- factor(d$level, ordered = TRUE)
tight <- glm.control(epsilon = 1e-14, maxit = 200)
narrow <- gam.control(epsilon = 1e-13, maxit = 500, mgcv.tol = 1e-14, newton = list(conv.tol = 1e-8),
                      scale.est = "pearson")

json <- function(x) {  # named lists to objects, 12 digits
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ", "), "}"))
  if (is.character(x)) return(paste0('"', x, '"'))
  if (anyNA(x)) return("null")
  text <- formatC(x, digits = 12, format = "g", width = 1)
  if (length(x) == 1) text else paste0("[", paste(text, collapse = ", "), "]")
}
se <- function(cov) sqrt(diag(cov))

# --- linear model: HC2, HC3, Bell and McCaffrey by matrix algebra ---
least_squares <- function() {
  full <- lm(gauss ~ age + group + z, d)
  null <- lm(gauss ~ age + group, d)
  x <- model.matrix(full)
  bread <- solve(crossprod(x))
  e <- residuals(full)
  h <- diag(x %*% bread %*% t(x))
  hc2 <- bread %*% t(x) %*% diag(e^2 / (1 - h)) %*% x %*% bread
  hc3 <- bread %*% t(x) %*% diag(e^2 / (1 - h)^2) %*% x %*% bread
  m <- diag(n) - x %*% bread %*% t(x)
  b <- m %*% diag((x %*% bread)[, 4]^2 / (1 - h)) %*% m
  df <- sum(diag(b))^2 / sum(diag(b %*% b))
  t <- coef(full)[4] / se(hc2)[4]
  table <- anova(null, full)
  list(coef = coef(full), se = se(vcov(full)), F = table$F[2], p_F = table[["Pr(>F)"]][2], deviance = deviance(full),
       partial_r2 = 1 - deviance(full) / deviance(null), hc2_z = se(hc2)[4], hc3 = se(hc3), bm_df = df,
       p = 2 * pt(-abs(t), df))
}

# --- generalised linear models; LR_p is scaled by (n - parameters) / n as families.nested_p does ---
general <- function(score, family) {
  full <- glm(as.formula(paste(score, "~ age + group + z")), family, d, control = tight)
  null <- glm(as.formula(paste(score, "~ age + group")), family, d, control = tight)
  drop <- deviance(null) - deviance(full)
  pearson <- sum(residuals(full, "pearson")^2) / df.residual(full)
  list(coef = coef(full), se = se(vcov(full)), deviance = deviance(full), null_deviance = deviance(null),
       aic = AIC(full), LR = drop, dispersion = summary(full)$dispersion, loglik = as.numeric(logLik(full)),
       p_F = pf(drop / pearson, 1, df.residual(full), lower.tail = FALSE),
       p_LR = pchisq(drop * df.residual(full) / n, 1, lower.tail = FALSE))
}
negative_binomial <- function() {
  full <- glm.nb(count ~ age + group + z, d, control = glm.control(epsilon = 1e-14, maxit = 500))
  null <- glm.nb(count ~ age + group, d, control = glm.control(epsilon = 1e-14, maxit = 500))
  LR <- as.numeric(2 * (logLik(full) - logLik(null)))
  list(coef = coef(full), theta = full$theta, loglik = as.numeric(logLik(full)), LR = LR,
       p = pchisq(LR * (n - 5) / n, 1, lower.tail = FALSE))
}
gamma_shape <- function() {  # maximum likelihood of the shape beside the coefficients
  full <- glm(gamma ~ age + group + z, Gamma("log"), d, control = tight)
  null <- glm(gamma ~ age + group, Gamma("log"), d, control = tight)
  fitted <- lapply(list(full, null), function(m) {
    shape <- gamma.shape(m, eps.max = 1e-14, it.lim = 100)$alpha
    c(shape, sum(dgamma(d$gamma, shape, shape / fitted(m), log = TRUE)))
  })
  LR <- 2 * (fitted[[1]][2] - fitted[[2]][2])
  list(shape = fitted[[1]][1], loglik = fitted[[1]][2], LR = LR, p = pchisq(LR * (n - 5) / n, 1, lower.tail = FALSE))
}
odds <- function(method = "logistic") {
  full <- polr(ordered ~ age + group + z, d, method = method, Hess = TRUE, control = list(reltol = 1e-16, maxit = 1000))
  null <- polr(ordered ~ age + group, d, method = method, Hess = TRUE, control = list(reltol = 1e-16, maxit = 1000))
  LR <- as.numeric(2 * (logLik(full) - logLik(null)))
  list(coef = coef(full), thresholds = full$zeta, se = se(vcov(full)), loglik = as.numeric(logLik(full)), LR = LR)
}

# --- unpenalised natural cubic spline at neurovae's knots: gam with fx = TRUE ---
knots <- quantile(d$z, c(.05, .35, .65, .95))
unpenalised <- function(score, family) {
  full <- gam(as.formula(paste(score, '~ age + group + s(z, bs = "cr", k = 4, fx = TRUE)')), family, d,
              knots = list(z = knots), control = narrow)
  line <- glm(as.formula(paste(score, "~ age + group + z")), family, d, control = tight)
  list(full = full, line = line)
}
gaussian_spline <- function() {
  fits <- unpenalised("gauss", gaussian())
  x <- predict(fits$full, type = "lpmatrix")
  bread <- solve(crossprod(x))
  h <- diag(x %*% bread %*% t(x))
  hc3 <- bread %*% t(x) %*% diag(residuals(fits$full)^2 / (1 - h)^2) %*% x %*% bread
  at <- predict(fits$full, data.frame(z = knots, age = 0, group = 0), type = "lpmatrix")
  slope <- diff(diag(4)) / diff(knots)  # a natural spline is a line if its values at the knots lie on one
  bend <- diff(slope) %*% at
  value <- bend %*% coef(fits$full)
  wald <- as.numeric(t(value) %*% solve(bend %*% hc3 %*% t(bend), value)) / 2
  df <- n - ncol(x)
  F <- (deviance(fits$line) - deviance(fits$full)) / 2 / (deviance(fits$full) / df)
  list(fitted = fitted(fits$full), deviance = deviance(fits$full), line_deviance = deviance(fits$line),
       F = F, robust_F = wald, p = pf(wald, 2, df, lower.tail = FALSE))
}
general_spline <- function(score, family) {
  fits <- unpenalised(score, family)
  drop <- deviance(fits$line) - deviance(fits$full)
  df <- n - 6
  pearson <- sum(residuals(fits$full, "pearson")^2) / df
  list(fitted = fitted(fits$full), deviance = deviance(fits$full), line_deviance = deviance(fits$line),
       p_LR = pchisq(drop * df / n, 2, lower.tail = FALSE), p_F = pf(drop / 2 / pearson, 2, df, lower.tail = FALSE))
}
polynomial <- function(score, family, degree) {
  full <- glm(as.formula(paste0(score, " ~ age + group + poly(z, ", degree, ")")), family, d, control = tight)
  line <- glm(as.formula(paste(score, "~ age + group + z")), family, d, control = tight)
  drop <- deviance(line) - deviance(full)
  list(deviance = deviance(full), p_LR = pchisq(drop * df.residual(full) / n, degree - 1, lower.tail = FALSE))
}

out <- list(
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."), MASS = as.character(packageVersion("MASS")),
                  mgcv = as.character(packageVersion("mgcv"))),
  lm = least_squares(),
  binomial = general("binary", binomial()),
  probit = general("binary", binomial("probit")),
  cloglog = general("binary", binomial("cloglog")),
  poisson = general("few", poisson()),
  gamma = general("gamma", Gamma("log")),
  gamma_shape = gamma_shape(),
  quasibinomial = general("share", quasibinomial()),
  negative_binomial = negative_binomial(),
  polr = odds(),
  polr_probit = odds("probit"),
  spline_gauss = gaussian_spline(),
  spline_binary = general_spline("binary", binomial()),
  spline_few = general_spline("few", poisson()),
  spline_share = general_spline("share", quasibinomial()),
  quadratic_binary = polynomial("binary", binomial(), 2),
  cubic_binary = polynomial("binary", binomial(), 3),
  grid = grid,
)
lines <- paste0('"', names(out), '": ', sapply(out, json))
writeLines(c("{", paste0(lines, c(rep(",", length(lines) - 1), "")), "}"), file.path(here, "reference.json"))

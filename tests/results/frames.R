# Prints the numbers in test_frames.py that come from R.
suppressMessages(library(lme4))
options(digits = 10)
m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, control = lmerControl("bobyqa", optCtrl = list(rhoend = 1e-10)))
print(confint(m, method = "Wald", level = 0.9)[5:6, ])
print(confint(lm(Reaction ~ Days, sleepstudy)))
print(head(as.data.frame(ranef(m)), 2))
print(tail(as.data.frame(ranef(m)), 1))
print(head(hatvalues(m), 3))

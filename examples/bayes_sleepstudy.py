"""A Bayesian analysis of the sleepstudy data: priors, posterior, hypotheses, and the posterior mode beside it.

Run it with ``python examples/bayes_sleepstudy.py``. Nothing is downloaded and nothing is written.
"""

from __future__ import annotations

import pandas as pd

import jmix

FORMULA = "Reaction ~ Days + (Days | Subject)"
PRIORS = {"b_Days": "normal(0, 20)", "sd_Subject__Days": "exponential(0.1)", "cor": "lkj(2)"}


def main() -> None:
    sleep = jmix.load_data("sleepstudy")
    model = jmix.model(FORMULA, sleep, priors=PRIORS)
    print("Priors:")
    print(model.priors)

    prior = model.sample_prior(4000, seed=1)
    print("\nWhat they allow, before the data:")
    print(prior.summary().table[["median", "lower", "upper"]].round(1).to_string())

    post = model.sample(seed=1)
    print("\nThe posterior:")
    print(post)

    print()
    print(post.hypothesis(["Days > 7", "sd_Subject__Days > 5"]))
    print("\nA slope of 10 against any other, by the Savage-Dickey ratio:")
    point = post.hypothesis("Days = 10", prior=prior).table
    print(point[["estimate", "lower", "upper", "evidence_ratio"]].round(2).to_string())

    print("\nFixed effects: posterior mean, posterior mode, REML:")
    estimates = {"mean": post.fixef(), "mode": model.fit("map").fixef(), "REML": model.fit("reml").fixef()}
    print(pd.DataFrame(estimates).round(2).to_string())


if __name__ == "__main__":
    main()

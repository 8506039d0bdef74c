"""A complete analysis of the sleepstudy data: fit, compare slopes, predict, and a parametric bootstrap.

Run it with ``python examples/sleepstudy.py``. Nothing is downloaded and nothing is written.
"""

from __future__ import annotations

import pandas as pd

import jmix

FORMULA = "Reaction ~ Days + (Days | Subject)"


def main() -> None:
    sleep = jmix.load_data("sleepstudy")
    fit = jmix.lmm(FORMULA, sleep)
    print(fit.summary())

    print("\n95% Wald intervals of the fixed effects:")
    print(fit.confint().round(2).to_string())

    print("\nSlope of each subject: alone, and shrunk to the mean by the mixed model:")
    alone = jmix.lmlist("Reaction ~ Days | Subject", sleep).coef()["Days"]
    shrunk = fit.coef()["Subject"]["Days"]
    slopes = pd.DataFrame({"alone": alone, "mixed": shrunk}).round(2)
    print(slopes.sort_values("alone").iloc[[0, 1, -2, -1]].to_string())

    print("\nDay 12 for a known and for a new subject:")
    new = pd.DataFrame({"Days": [12, 12], "Subject": ["308", "new"]})
    print(fit.predict(new, new_levels="population", se=True).round(1).to_string())

    print("\n500 responses simulated from the fit, all refitted in one program:")
    refits = fit.refit(fit.simulate(500, seed=1))
    print(refits)
    quantiles = refits.to_frame()[["Days", "sigma"]].quantile([0.025, 0.975])
    print(quantiles.round(2).to_string())


if __name__ == "__main__":
    main()

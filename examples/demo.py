"""Fit the sleep deprivation study, print the summary and draw the subjects' random effects.

Run it with ``make demo``, or with ``python examples/demo.py`` where the package is installed with its plotting extra
(``pip install 'multilevel[plot]'``).
"""

from pathlib import Path

import plotnine as p9

import multilevel as ml

sleepstudy = ml.load_dataset("sleepstudy")
fit = ml.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
print(fit.summary())

effects = fit.ranef(cond_var=True).to_frame()
order = effects[effects["term"] == "(Intercept)"].sort_values("condval")["grp"]
effects["grp"] = effects["grp"].astype("category").cat.set_categories(list(order))
effects["low"] = effects["condval"] - 1.96 * effects["condsd"]
effects["high"] = effects["condval"] + 1.96 * effects["condsd"]

picture = (
    p9.ggplot(effects, p9.aes("grp", "condval", ymin="low", ymax="high"))
    + p9.geom_hline(yintercept=0, linetype="dashed", colour="#777777")
    + p9.geom_pointrange(colour="#0072B2", size=0.4)
    + p9.coord_flip()
    + p9.facet_wrap("term", scales="free_x")
    + p9.labs(
        x="Subject",
        y="Conditional mode with 95 % interval",
        title="How subjects differ in reaction time (ms) and in its increase per day",
    )
    + p9.theme_minimal()
    + p9.theme(figure_size=(9, 5))
)
target = Path("demo") / "caterpillar.png"
target.parent.mkdir(exist_ok=True)
picture.save(target, dpi=150, verbose=False)
print(f"\nThe subjects' random effects are drawn in {target}")

"""Linear mixed-effects models: fast, certified fits that agree with lme4."""

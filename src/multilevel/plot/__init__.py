"""Pictures of models and data, drawn by plotnine: each can be added to, as in ``picture + theme_classic()``."""

"""Kernels of the pages keep no history."""

c = get_config()  # noqa: F821  (IPython provides it)
c.HistoryManager.enabled = False

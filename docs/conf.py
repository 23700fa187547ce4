"""How the site is built: every page of it is executed, and an error or a warning fails the build."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sphinx.ext.napoleon import NumpyDocstring

from multilevel import __version__

project = "multilevel"
author = "The multilevel developers"
copyright = "The multilevel developers"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "_ipython"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"multilevel {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# The kernels that run the pages start with this profile: it sets the resolution of the pictures.
os.environ["IPYTHONDIR"] = str(Path(__file__).parent / "_ipython")

# Pages run at build; what was run before and has not changed is taken from the cache, unless a whole run is asked for.
nb_execution_mode = os.environ.get("MULTILEVEL_DOCS_EXECUTION", "cache")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_excludepatterns = ["api/*"]
nb_merge_streams = True
nb_number_source_lines = False

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # the fields of a class once: in its own table, not again as members
napoleon_preprocess_types = False


# A property's docstring is a sentence: what stands before a colon in it is not a type.
NumpyDocstring._consume_inline_attribute = lambda self: ("", self._dedent(self._consume_to_end()))


def hide_private_signature(
    _app: Any, what: str, _name: str, _object: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Leave out how an object is made that users do not make themselves."""
    return ("", returned) if what == "class" and signature and signature.startswith("(_") else None


def setup(app: Any) -> None:
    """Connect what changes how docstrings are shown."""
    app.connect("autodoc-process-signature", hide_private_signature)

"""How Sphinx builds these pages: ``make docs``."""

import agent

project = "ofagent"
version = release = agent.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "docs.directives"]
exclude_patterns = ["examples"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"no-value": True}
smartquotes = False
html_theme = "furo"
html_title = f"ofagent {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_copyright = False

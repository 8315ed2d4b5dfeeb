"""Sphinx's configuration; `build.py` lays out the sources and calls it."""

project = "Foretell"
author = "The Foretell developers"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Foretell"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
myst_heading_anchors = 4
default_role = "code"
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

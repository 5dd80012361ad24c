from importlib.metadata import version as installed_version

project = "mosaic-growth"
author = "the mosaic-growth developers"
copyright = f"2026, {author}"
version = release = installed_version("mosaic-growth")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
# Neither nitpicky nor intersphinx: the pages must build without a network, and types of
# other projects cannot be resolved then.
nitpicky = False

source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False  # numpydoc brings it along; api.md uses automodule
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 92
python_use_unqualified_type_names = True
# autodoc lists the members; numpydoc would list them a second time.
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "mosaic-growth"

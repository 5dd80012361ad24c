from importlib.metadata import version as installed_version
from pathlib import Path

from nbconvert import MarkdownExporter

from mosaic_sim.platform import platform_names, platform_preset
from mosaic_sim.technology import technology_names, technology_preset

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
exclude_patterns = [
    "_build", "_generated/platforms.md", "_generated/technologies.md",  # these are included
]  # fmt: skip

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

# --- pages made from files of the project ---------------------------------------------------

HERE = Path(__file__).parent
GENERATED = HERE / "_generated"


def write_technologies() -> None:
    """Write the technology files as tables, so that the page cannot drift from them."""
    lines = []
    for name in technology_names():
        technology = technology_preset(name)
        lines += [f"### `{name}`", "", technology.about, ""]
        lines += ["| quantity | value | status | source |", "|---|---|---|---|"]
        for quantity_name, quantity in technology.quantities.items():
            source = quantity.source.replace("|", r"\|")
            lines.append(
                f"| `{quantity_name}` | {quantity} | {quantity.status} | {source} |"
            )
        lines.append("")
    (GENERATED / "technologies.md").write_text("\n".join(lines), encoding="utf-8")


def write_platforms() -> None:
    """Write the platform files as one table."""
    lines = ["| platform | quantity | value | status | source |", "|---|---|---|---|---|"]
    for platform in map(platform_preset, platform_names()):
        for name, quantity in platform.quantities.items():
            lines.append(
                f"| {platform.title} | `{name}` | {quantity} | {quantity.status} | "
                f"{quantity.source} |"
            )
    (GENERATED / "platforms.md").write_text("\n".join(lines), encoding="utf-8")


def write_notebooks() -> None:
    """Write the executed notebooks, with their pictures, as pages."""
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        pictures = {"output_files_dir": f"{notebook.stem}_files"}
        page, resources = MarkdownExporter().from_filename(str(notebook), pictures)
        for name, content in resources["outputs"].items():
            picture = GENERATED / name
            picture.parent.mkdir(exist_ok=True)
            picture.write_bytes(content)
        (GENERATED / f"{notebook.stem}.md").write_text(page, encoding="utf-8")


GENERATED.mkdir(exist_ok=True)
write_technologies()
write_platforms()
write_notebooks()

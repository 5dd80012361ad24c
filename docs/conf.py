import csv
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
    "_build",
    "data/*.md",  # included
    *(f"_generated/{name}" for name in ("[pt]*.md", "routing-*.md", "growing.md")),  # included
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


def stored(name: str) -> list[dict[str, str]]:
    """Rows of a stored run of a benchmark."""
    with (HERE / "data" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(name: str, head: list[str], rows: list[list[str]]) -> None:
    """Write a table of which all columns but the first two are numbers."""
    lines = [head, ["---"] * 2 + ["--:"] * (len(head) - 2), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (GENERATED / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def write_placers() -> None:
    """Write what the placers reach, as means over seeds."""
    groups: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    for row in stored("placing"):
        case = groups.setdefault((row["family"], row["size"]), {})
        case.setdefault(row["placer"], []).append(row)
    names = list(dict.fromkeys(name for case in groups.values() for name in case))
    families, layers = [], []
    for (family, size), case in groups.items():
        cells = [family, size]
        relative = bool(case["multilevel"][0]["relative"])
        for name in names:
            values = [
                float(row["relative" if relative else "cost"]) for row in case.get(name, ())
            ]
            mean = sum(values) / max(len(values), 1)
            cells.append((f"{mean:.3f}" if relative else f"{mean:,.0f}") if values else "")
        runs = case["multilevel"]
        if relative and len(runs) > 1:
            cells[-1] += f" ({max(float(row['relative']) for row in runs):.3f})"
        speed = sum(float(row["neurons_per_second"]) for row in runs) / len(runs)
        cells.append(f"{speed:,.0f}")
        cells.append(f"{max(float(row['peak_mb']) for row in runs):,.0f}")
        (families if relative else layers).append(cells)
    head = ["instance", "tiles", *names, "neurons/s", "MB"]
    write_table("placing", head, families)
    write_table("placing-layers", head, layers)


def write_routers() -> None:
    """Write what the routers need."""
    lines = [
        [
            row["instance"], f"{int(row['nets']):,}",
            *(row[f"{name} lines"] for name in ("one_turn", "trunk", "steiner")),
            row["least"], row["bound"], f"{float(row['least / one_turn']):.0%}",
            *(f"{int(row[f'{name} segments']):,}" for name in ("one_turn", "steiner", "least")),
            row["60% segments / one_turn"], row["least s"],
        ]
        for row in stored("routing-lines")
    ]  # fmt: skip
    head = [
        "instance", "trees", "one_turn lines", "trunk", "steiner", "negotiated", "bound",
        "of one_turn", "one_turn links", "steiner", "negotiated", "60 %", "CPU s",
    ]  # fmt: skip
    write_table("routing-lines", head, lines)
    for name in ("exact", "densities", "growth", "speed"):
        rows = stored(f"routing-{name}")
        write_table(f"routing-{name}", list(rows[0]), [list(row.values()) for row in rows])


def write_growing() -> None:
    """Write what growing costs, as means over seeds."""
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in stored("growing"):
        if row["base"] != "packed":
            groups.setdefault((row["case"], row["base"], row["method"]), []).append(row)
    rows = []
    for (case, base, method), runs in groups.items():
        cost, moved, time = (
            sum(float(row[name]) for row in runs) / len(runs)
            for name in ("relative", "moved", "microseconds")
        )
        rows.append([case, method, base, f"{cost:.3f}", f"{moved:.1%}", f"{time:,.0f} µs"])
    head = ["case", "way", "free slots", "H", "moved", "a neuron"]
    write_table("growing", head, rows)


GENERATED.mkdir(exist_ok=True)
write_placers()
write_routers()
write_growing()
write_technologies()
write_platforms()
write_notebooks()

"""The project as a whole: map, environment, imports, notebooks and commands are what they are said to be."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aloe import headline
from aloe.environment import environment_yml
from aloe.headline import markdown_table
from aloe.params import ROOT
from aloe.runs import open_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "aloe").rglob("*.py"))
    if "report" not in path.relative_to(ROOT).parts
}


def shipped_files():
    """Tracked files; before the first commit, everything that git does not ignore. Empty where there is no git."""

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]

    return git("ls-files") or git("ls-files", "--others", "--exclude-standard")


def mapped_files():
    """Path and comment of every line of the README's map."""
    block = re.search(r"## Map of files\n.*?```\n(.*?)```", README, re.DOTALL)[1]
    return [tuple(re.split(r" {2,}", line, maxsplit=1)) for line in block.splitlines() if line.strip()]


def imports_of(name):
    """The modules of `aloe` that a module needs when it runs; imports for type checkers alone do not count."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.update(other for other in names if other in MODULES and other not in ("aloe", "aloe.sandbox"))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    return found


def test_the_map_in_the_readme_names_every_file_and_no_other():
    shipped = shipped_files()
    if not shipped:
        pytest.skip("not a git checkout")
    mapped = [path for path, _ in mapped_files()]
    assert sorted(mapped) == sorted(shipped)


def test_every_comment_of_the_map_has_at_most_eight_words():
    for path, comment in mapped_files():
        assert 1 <= len(comment.split()) <= 8, path


def test_the_headline_in_the_readme_is_that_of_the_published_run(tmp_path, monkeypatch):
    run = open_run(Path(headline._MARKERS.search(README)["folder"]).name)
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    monkeypatch.setattr(headline, "README", copy)
    headline.publish(run)
    assert copy.read_text(encoding="utf-8") == README
    assert markdown_table(run) in README


def test_environment_yml_is_what_make_lock_would_write():
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == environment_yml()


def test_the_lock_names_no_server_and_holds_the_versions_that_were_tried():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    for pinned in ("torch==2.13.0", "trl==1.14.2", "transformers==5.17.0"):
        assert re.search(rf"^{re.escape(pinned)}( |$)", lock, re.MULTILINE), pinned


def test_no_module_needs_one_that_needs_it():
    done, path = set(), []

    def visit(name):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            path.append(name)
            for other in sorted(imports_of(name)):
                visit(other)
            path.pop()
            done.add(name)

    for name in MODULES:
        visit(name)


def test_the_sandbox_and_the_study_know_each_other_by_one_line_only():
    sandbox = {name for name in MODULES if name.startswith("aloe.sandbox.")}
    for name in sandbox:
        assert imports_of(name) <= sandbox, name
    assert {name for name in MODULES if name not in sandbox and imports_of(name) & sandbox} == {"aloe.chat"}
    assert len(re.findall(r"^\s*(?:from|import) aloe\.sandbox", MODULES["aloe.chat"].read_text(), re.MULTILINE)) == 1


@pytest.mark.parametrize("name", ["metrics", "intervals", "figures", "preferences", "released", "records"])
def test_what_is_pure_knows_neither_runs_nor_models(name):
    needed, waiting = set(), [f"aloe.{name}"]
    while waiting:
        new = imports_of(waiting.pop()) - needed
        needed |= new
        waiting += new
    pure = (
        "records",
        "writing",
        "errors",
        "intervals",
        "null_bands",
        "controls",
        "pairing",
        "stranger_intervals",
        "branching",
        "figure_style",
    )
    assert needed <= {f"aloe.{other}" for other in pure}


def test_a_run_with_nothing_to_do_loads_no_heavy_library():
    heavy = ["torch", "transformers", "datasets", "pandas", "matplotlib", "openai", "papermill", "sphinx", "sklearn"]
    code = f"import sys, aloe.__main__, aloe.pipeline; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_stores_no_outputs_and_has_one_literal_parameters_cell(notebook):
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]
    assert ["parameters" in cell["metadata"].get("tags", []) for cell in cells] == [True] + [False] * (len(cells) - 1)
    given = ast.parse("".join(cells[0]["source"])).body
    assert [statement.targets[0].id for statement in given] == ["preset", "seed"]
    assert all(isinstance(statement.value, ast.Constant) for statement in given)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_a_story_in_short_cells_and_defines_nothing(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert "".join(cells[0]["source"]).startswith("# ")
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert len(source.splitlines()) <= 25, source
            assert not re.search(r"^\s*(def|class|async def) ", source, re.MULTILINE), source


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_figure_is_described_for_those_who_cannot_see_it(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    saving = [cell for cell in cells if cell["cell_type"] == "code" and "save_figure" in "".join(cell["source"])]
    assert not [cell["id"] for cell in saving if not cell["metadata"].get("mystnb", {}).get("image", {}).get("alt")]


def test_every_make_target_that_a_text_names_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    texts = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "aloe").rglob("*.md")),
        *MODULES.values(),
        *NOTEBOOKS,
    ]
    for path in texts:
        named = set(re.findall(r"`make ([a-z][a-z-]*)", path.read_text(encoding="utf-8")))
        assert named <= targets, path


def test_make_help_explains_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    explained = re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE)
    assert sorted(phony) == sorted(explained)


def test_the_citation_file_and_the_environment_can_be_read():
    assert "2410.03642" in str(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")))
    assert yaml.safe_load(environment_yml())["name"] == "aloe"

"""Executed notebooks as the report shows them: code folded away, and below each figure what is seen and its data.

In: a notebook, and what stands below which of its cells. Out: the notebook as JSON for MyST-NB. Outputs stay as they
are but for bars that only run live, and control characters. A section that says that its run does not ask its question
is only named. What a run that ended early has no page for is no link. This module does not know what the notebooks say.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from aloe.notebook_code import read_notebook

_WIDGET = "application/vnd.jupyter.widget-view+json"
UNASKED = "Not asked by this preset:"
"""How the line begins that a section's cell with the tag `question` prints where it has nothing to show."""
QUESTION = "question"
_ENDED = "*The run ended here; the front page says why.*"
_PARAMETERS = {"parameters", "injected-parameters"}
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}


def folded(notebook: Path, captions: Mapping[str, str], alts: Mapping[str, str]) -> str:
    """A notebook whose code is folded away, cell by cell. Cells that hold nothing but parameters are left out, and so
    are sections whose cell tagged `question` prints a line beginning with `UNASKED`: the section around names those.

    Args:
        notebook: an executed one; one that ended early is shown up to where it ended.
        captions: by a cell's id, Markdown to stand below its outputs.
        alts: by a cell's id, what is seen on its image, to stand after the description that the cell itself has.
    """
    content = read_notebook(notebook)
    cells = []
    for cell in _until_it_ended(content["cells"]):
        cells.append(cell)
        if cell["cell_type"] != "code":
            continue
        tags = set(cell["metadata"].get("tags", []))
        cell["metadata"]["tags"] = sorted({*tags, "remove-cell" if tags & _PARAMETERS else "hide-input"})
        cell["outputs"] = [_visible(output) for output in cell["outputs"] if _WIDGET not in output.get("data", {})]
        name = cell.get("id", "")
        if name in alts:
            image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
            image["alt"] = f"{image.get('alt', '')} {alts[name]}".strip()
        if name in captions:
            cells.append({"cell_type": "markdown", "id": f"{name}-data", "metadata": {}, "source": captions[name]})
    content["cells"] = _asked(cells)
    content["metadata"].pop("widgets", None)
    return json.dumps(content)


def _visible(value: Any) -> Any:
    """The same with pictures of control characters in every text: a model may write any, and Sphinx stumbles over some.

    >>> _visible({"text": ["a\\x1b[0m\\tb\\n", "\\x00"]})
    {'text': ['a␛[0m\\tb\\n', '␀']}
    """
    if isinstance(value, str):
        return value.translate(_PICTURES)
    if isinstance(value, list):
        return [_visible(part) for part in value]
    if isinstance(value, dict) and value.get("output_type") == "error":  # coloured by IPython, and read so
        return value
    return {key: _visible(part) for key, part in value.items()} if isinstance(value, dict) else value


def title(notebook: Path) -> str:
    """The first heading of a notebook, without what follows a colon; its file's name where it has none."""
    for cell in read_notebook(notebook)["cells"]:
        if _depth(cell) == 1:
            return _text(cell["source"]).splitlines()[0].removeprefix("# ").partition(":")[0].strip()
    return notebook.stem


def without_dead_links(text: str, there: Collection[str]) -> str:
    """Markdown in which a link to a page or notebook that is not there is left as its words.

    >>> without_dead_links("[a](a.md), [b](b.md)", {"a.md"})
    '[a](a.md), b'
    """
    links = r"\[([^\]]*)\]\(((?!\w+:)[^)\s#]+\.(?:md|ipynb))\)"
    return re.sub(links, lambda link: link[0] if link[2] in there else link[1], text)


def _asked(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells without sections that were not asked; the cell that heads the section around them names those."""
    kept: list[dict[str, Any]] = []
    named: dict[int, list[str]] = {}
    depths, at = [_depth(cell) for cell in cells], 0
    while at < len(cells):
        further = [i for i in range(at + 1, len(cells)) if depths[i]]  # the headings that follow
        own = cells[at : next(iter(further), None)]
        around = [i for i, cell in enumerate(kept) if 0 < _depth(cell) < depths[at]]
        if around and any(_unasked(cell) for cell in own):
            named.setdefault(around[-1], []).append(_text(cells[at]["source"]).splitlines()[0].lstrip("# "))
            at = next((i for i in further if depths[i] <= depths[at]), len(cells))
        else:
            kept.append(cells[at])
            at += 1
    for i, titles in named.items():
        listed = "; ".join(f"*{one}*" for one in titles)
        kept[i]["source"] = f"{_text(kept[i]['source'])}\n\nNot asked of this run, and left out here: {listed}."
    return kept


def _unasked(cell: Mapping[str, Any]) -> bool:
    """Does a cell with the tag for it print, at the start of a line, that its question was not asked?

    Without the tag a model's text could say so.
    """
    if QUESTION not in cell["metadata"].get("tags", []):
        return False
    printed = "".join(_text(output["text"]) for output in cell.get("outputs", []) if output["output_type"] == "stream")
    return any(line.startswith(UNASKED) for line in printed.splitlines())


def _depth(cell: Mapping[str, Any]) -> int:
    """How many `#` the heading has that a cell begins with; 0 without one."""
    found = re.match(r"#+(?= )", _text(cell["source"])) if cell["cell_type"] == "markdown" else None
    return len(found[0]) if found else 0


def _text(parts: str | Sequence[str]) -> str:
    return parts if isinstance(parts, str) else "".join(parts)


def _until_it_ended(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells up to the one that raised, without its traceback and the marks of papermill; all if none did."""
    kept = []
    for cell in cells:
        if "papermill-error-cell-tag" not in cell["metadata"].get("tags", []):
            kept.append(cell)
        if cell["metadata"].get("papermill", {}).get("exception"):
            cell["outputs"] = [output for output in cell["outputs"] if output["output_type"] != "error"]
            return [*kept, {"cell_type": "markdown", "id": "ended", "metadata": {}, "source": _ENDED}]
    return kept

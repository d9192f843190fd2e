"""Formulas as MathML, which browsers draw themselves: Sphinx's own way asks a server on the network for a script."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


def mathml(formula: str, as_block: bool = False) -> str:
    """LaTeX to MathML with a thin space after the name of a function: browsers draw "log p" as "logp" otherwise.

    Before a bracket there is none.
    """
    text = tex2mathml(formula, as_block=as_block)
    return re.sub(r"<mo>(?:&ApplyFunction;|\u2061)</mo>(?!\s*<mo[^>]*>\()", '<mspace width="0.17em"/>', text)


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write an inline formula and nothing after it."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed formula that scrolls by itself where the page is narrow."""
    formula = mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name `mathml`."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

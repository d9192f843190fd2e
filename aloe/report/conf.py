"""Sphinx configuration of the rendered report: static, from executed notebooks, with nothing from a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Interact to align"
author = "The ALOE study authors"
html_title = "Interact to align"

extensions = ["myst_nb", "mathml", "accessible"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_ipywidgets_js: dict[str, str] = {}  # the default asks a server on the network for scripts
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
suppress_warnings = ["mystnb.unknown_mime_type"]  # a widget has a text form beside it, which is shown

html_theme = "furo"
html_static_path = ["static"]
html_extra_path = ["extra"]  # data for downloads and for the transcripts browser, as they are
html_css_files = ["report.css"]
html_js_files = ["scrollable.js"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False  # nothing is indexed
html_show_search_summary = False  # a page that is read from disk may not fetch others to quote from them

"""Where the numbers of a report come from: the manifest as a page.

In: a run and its manifest. Out: Markdown: preset, seed, commit, versions, the models of the roles, each stage with the
hashes of what it read and wrote, and the commands that make it again. What the manifest does not hold is said to be
missing. This module computes nothing.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from aloe.findings import NONE, table
from aloe.markdown import literal
from aloe.runs import Run

SHORT = 12
"""Characters of a hash or commit that are shown; the manifest has them whole."""


def page_fields(run: Run) -> dict[str, str]:
    """The fields of the page on provenance; a run without a manifest says so."""
    manifest = run.read_manifest()
    stages = {name: record for name, record in manifest.get("stages", {}).items() if name != "report"}
    params = manifest.get("params", {})
    return {
        "run": literal(run.name),
        "facts": _facts(run, manifest),
        "again": _commands(run),
        "roles": _roles(manifest),
        "versions": _versions(manifest.get("versions", {})),
        "stages": _stages(stages),
        "hashes": "\n\n".join(_hashes(name, record) for name, record in stages.items()),
        "params": _indented(yaml.safe_dump(params, sort_keys=False, allow_unicode=True)) if params else "    (none)",
    }


def _facts(run: Run, manifest: Mapping[str, Any]) -> str:
    done = [record for name, record in manifest.get("stages", {}).items() if name != "report"]
    commit = done[-1].get("git_commit") if done else None
    changed = " (with changes that were not committed)" if str(commit).endswith("-modified") else ""
    simulated = "yes" if run.params.simulated else "no"
    rows = [
        ("preset", f"`{run.params.name}`"), ("seed", str(run.params.seed)), ("simulated", simulated),
        ("commit of the last stage", f"`{str(commit).removesuffix('-modified')}`{changed}" if commit else "not known"),
        ("judges of the responders' own family", ", ".join(manifest.get("self_judging", [])) or "none"),
    ]  # fmt: skip
    return table(("what", "value"), rows)


def _commands(run: Run) -> str:
    words = run.command().partition(" all ")[2]
    commands = {
        run.command(): "everything, as far as it is not up to date",
        f"make figures {words}": "the analysis from the saved scores: no model, no key",
        f"make report {words}": "these pages from the executed notebooks",
    }
    width = max(map(len, commands))
    return "\n".join(f"{command:<{width}}  # {what}" for command, what in commands.items())


def _roles(manifest: Mapping[str, Any]) -> str:
    """Who played which role; a list of judges takes a row each."""
    rows = []
    for role, filled in manifest.get("params", {}).get("roles", {}).items():
        for one in filled if isinstance(filled, list | tuple) else [filled]:
            if isinstance(one, Mapping):
                temperature = one.get("temperature")
                rows.append(
                    (literal(role), literal(str(one.get("model"))), NONE if temperature is None else f"{temperature:g}")
                )
    return table(("role", "model", "temperature"), rows) if rows else "The manifest names no model."


def _versions(versions: Mapping[str, str | None]) -> str:
    rows = [(literal(name), literal(version) if version else "not installed") for name, version in versions.items()]
    return table(("library", "version"), rows) if rows else "The manifest names no version."


def _stages(stages: Mapping[str, Any]) -> str:
    rows = []
    for name, record in stages.items():
        seconds, memory = record.get("seconds"), record.get("peak_memory_mb")
        rows.append((
            f"`{name}`", literal(str(record.get("finished", NONE))), f"`{str(record.get('git_commit'))[:SHORT]}`",
            NONE if seconds is None else f"{seconds:,.0f}", NONE if memory is None else f"{memory:,}",
        ))  # fmt: skip
    titles = ("stage", "finished", "commit", "seconds", "largest process, MB")
    return table(titles, rows) if rows else "No stage has been noted in the manifest."


def _hashes(name: str, record: Mapping[str, Any]) -> str:
    rows = [
        (kind, f"`{path.replace('`', '')}`", f"`{digest[:SHORT]}`")
        for kind, key in (("read", "inputs"), ("wrote", "outputs"))
        for path, digest in record.get(key, {}).items()
    ]
    listed = table(("how", "file", "SHA-256 begins with"), rows) if rows else "Nothing."
    return f"### {literal(name)}\n\n{listed}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())

"""On which scales judges score one reply: by level, yes or no, by five criteria.

In: a scale's name, an answer. Out: the prompt that asks for it, the form of its answer, the scores that an answer
holds, or None where it is not of that form; nothing is guessed. This module does not know who judges.
"""

import re
from typing import Literal, NamedTuple

from aloe.sections import ScaleName


class Scale(NamedTuple):
    """`prompt`: the file that asks; `scores`: what an answer holds; `values`: of each score, in order.

    `names`: how the scores are called in an answer, a line each; `level`: how far two values are apart, for alpha.
    """

    prompt: str
    scores: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[int, ...]
    level: Literal["nominal", "ordinal"]

    @property
    def form(self) -> str:
        """The form of an answer in words; it completes "Answer once more with ..."."""
        ends = f"N from {self.values[0]} to {self.values[-1]}"
        if len(self.names) == 1:
            return f'one line, "{self.names[0]}: N" with {ends}'
        lines = ", ".join(f'"{name}: N"' for name in self.names)
        return f"{len(self.names)} lines, {lines}, each with {ends}"

    def parse(self, text: str) -> dict[str, int] | None:
        """The scores by name; None unless the text is exactly of the form.

        >>> SCALES["strict"].parse("Suits: 1"), SCALES["strict"].parse("Suits: 1, I think")
        ({'suits': 1}, None)
        """
        lines = [rf"{name}: ([{self.values[0]}-{self.values[-1]}])" for name in self.names]
        found = re.fullmatch(r"\s*" + r"[ \t]*\n\s*".join(lines) + r"\s*", text)
        return dict(zip(self.scores, map(int, found.groups()), strict=True)) if found else None


TRUTH, EVERYBODY = "without faults", "all judges"
"""In place of a judge's name, which no judge of a preset can have: the simulated model without its faults; all."""
FAVOUR, FAVOUR_AS_IS = "favour", "favour, levels as they are"
"""Measures of a favour: with judges on one scale (`agreement.common_scale`), so that one who errs more is not taken for
one who favours; and where that scale cannot be told."""
_FIVE = (1, 2, 3, 4, 5)
_CRITERIA = ("Manner", "Content", "Human", "Engaging", "Concise")
SCALES: dict[ScaleName, Scale] = {
    "levels": Scale("alignment_judge", ("level",), ("Score",), _FIVE, "ordinal"),
    "strict": Scale("strict_judge", ("suits",), ("Suits",), (0, 1), "nominal"),
    "criteria": Scale("criteria_judge", tuple(name.lower() for name in _CRITERIA), _CRITERIA, _FIVE, "ordinal"),
}

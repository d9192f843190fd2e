"""The one error that is the user's to mend.

Whatever is wrong with a preset, a seed file, a key or a saved output is raised as `UserError` with a sentence
that says what is wrong, where, and what to do. Command line and pipeline print that sentence without a traceback
and exit with code 2; every other exception is a bug of ours and keeps its traceback.
"""


class UserError(Exception):
    """Something the user can mend. The message names the file, the key or line, and the remedy."""


class NotEnough(UserError):
    """What the models replied does not do for the stages that follow: the run ends here, with a report of it."""

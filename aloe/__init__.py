"""Helpers behind the notebooks: import from the module that holds the thing, not from here."""

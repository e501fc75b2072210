"""Documents to text, one file per view."""

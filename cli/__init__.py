"""The command line, one file per verb; a command parses, makes one call and renders."""

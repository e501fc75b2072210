"""One file per thing measured, and the importers of other tools' files."""

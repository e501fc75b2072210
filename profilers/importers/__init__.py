"""The only readers of other tools' files, one file per form."""

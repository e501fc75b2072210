"""The documents, and how they are read and written as YAML."""

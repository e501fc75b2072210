"""Profiles to numbers, one file per thing predicted."""

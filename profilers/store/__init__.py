"""The store: profiles that never change, the plans that rest on them, and samples; SQLite or PostgreSQL."""

from profilers.store.adding import add_plan, add_profile, add_sample, add_samples
from profilers.store.comparing import compare
from profilers.store.moving import export_to, import_from
from profilers.store.opening import Store, open_store, store_of
from profilers.store.pruning import prune, remove
from profilers.store.reading import entry, find, listing, load, plans_on, read_either, samples_of

__all__ = [
    "Store",
    "add_plan",
    "add_profile",
    "add_sample",
    "add_samples",
    "compare",
    "entry",
    "export_to",
    "find",
    "import_from",
    "listing",
    "load",
    "open_store",
    "plans_on",
    "prune",
    "read_either",
    "remove",
    "samples_of",
    "store_of",
]

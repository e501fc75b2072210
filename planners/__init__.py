"""Numbers to decisions, one file per plan."""

"""Named mathematical problems on plain numbers and arrays."""

"""How a store's schema came to be, one revision after another; run by alembic."""

"""One command each: what `make` calls."""

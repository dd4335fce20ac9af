"""What draws: `plots` for all pages, `figures` of single ones, `widgets` to hold."""

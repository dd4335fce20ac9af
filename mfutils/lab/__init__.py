"""The laboratory: what only notebooks 5 to 10 and the tables of runs import. The lesson is one floor up."""

"""Tables of runs, each a list of jobs for one engine: `make weights`, `make sweep`, `make digits`, `make bench`."""

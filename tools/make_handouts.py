"""Write a copy of every notebook for learners, without solutions, and one for instructors, with them: `make handout`.

Both come without outputs: in a workshop people see their own.
"""

import sys
from pathlib import Path

import nbformat

from tools.course import sources, without_outputs


def main(target):
    for source in sources():
        for audience, solutions in (("learners", False), ("instructors", True)):
            path = target / audience / f"{source.stem}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(without_outputs(source, solutions), path)
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "handouts"))

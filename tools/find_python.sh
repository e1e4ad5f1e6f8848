#!/bin/sh
# Prints a Python that this program runs on (3.11 to 3.14), or nothing. Training is tested on 3.11, so that comes first.
fits='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'
for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
    if found=$(command -v "$name" 2>/dev/null) && "$found" -c "$fits" 2>/dev/null; then
        echo "$found"
        exit 0
    fi
done
if command -v uv >/dev/null 2>&1; then  # uv keeps Pythons of its own; nothing is downloaded here
    UV_PYTHON_DOWNLOADS=never uv python find '>=3.11,<3.15' 2>/dev/null || true
fi

"""The build backend of pyproject.toml: setuptools', with GraphiQL built into dist/ before a wheel is made of it.

A wheel without it is not made; an editable install does without (`make ide` builds it there).
"""

from __future__ import annotations

from typing import Any

import bundle  # beside this file, which pyproject.toml puts on the path
from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  the hooks that need nothing of us
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

Options = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Options = None) -> list[str]:
    """What making a wheel needs: Node too, where GraphiQL has to be built and the machine has none."""
    needs = build_meta.get_requires_for_build_wheel(config_settings)
    return needs if bundle.fresh() or bundle.tools() else [*needs, bundle.NODE]


def build_wheel(wheel_directory: str, config_settings: Options = None, metadata_directory: str | None = None) -> str:
    """Makes the wheel, GraphiQL included. Raises bundle.BuildError where that cannot be built."""
    bundle.build()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)

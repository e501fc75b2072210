"""A plan as one self-contained HTML page: the decision, its curves, its reasons and what they rest on."""

from renderers.page.page import page

__all__ = ["page"]

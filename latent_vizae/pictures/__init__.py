"""Pictures of maps and of directions. Needs the extra ``plot``."""

from .directions import arrow_picture, direction_picture, walk
from .map import layer_picture, map_picture
from .style import need_plot

__all__ = ["arrow_picture", "direction_picture", "layer_picture", "map_picture", "need_plot", "walk"]

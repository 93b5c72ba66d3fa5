"""A rotation series: the picture that the commands of its page make."""

from page_commands import draw_page

draw_page("rotation-series", "rotation_series.png")

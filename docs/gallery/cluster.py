"""A run on dask's workers: the picture that the commands of its page make."""

from page_commands import draw_page

draw_page("cluster", "cluster.png")

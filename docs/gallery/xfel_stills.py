"""XFEL stills: the picture that the commands of its page make."""

from page_commands import draw_page

draw_page("xfel-stills", "xfel_stills.png")

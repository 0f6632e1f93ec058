"""Names files of the repository in the built docs instead of linking to them; mkdocs calls this.

On GitHub these links work; the site only has the pages of ``docs/``.
"""

import posixpath
import re

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?!\w+:)[^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Returns a page whose links to files outside ``docs/`` are the files' names."""
    return name_outside_files(markdown, page.file.src_uri)


def name_outside_files(markdown: str, page: str) -> str:
    """Replaces a page's links to files outside ``docs/``.

    Args:
        markdown: Text of the page.
        page: Its path below ``docs/``.
    """

    def replace(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), found[2]))
        if target.startswith("docs/"):
            return found[0]
        text = found[1].strip("`")
        return f"`{target}`" if text in target else f"{found[1]} (`{target}`)"

    return _LINK.sub(replace, markdown)

"""A report's page as a test reads it."""

import base64
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import unquote


class Page(HTMLParser):
    """Links, text and table cells of a page; complains about tags left open."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.open, self.rows, self.words = [], set(), [], [], []
        self.downloads = set()
        self.feed(path.read_text())
        self.text = " ".join(" ".join(self.words).split())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids |= {attrs["id"]} if "id" in attrs else set()
        self.downloads |= {attrs["download"]} if attrs.get("download") else set()
        if tag not in ("meta", "img", "link", "br", "input"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.words.append(data)
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data

    def check_links(self, folder):
        """Check that every link leads to a place on the page or a file beside it."""
        for link in self.links:
            if link.startswith("#"):
                assert link[1:] in self.ids
            elif link.startswith("data:image/svg+xml;charset=utf-8,"):
                assert ET.fromstring(unquote(link.partition(",")[2])).tag.endswith("}svg")
            elif link.startswith("data:"):
                assert base64.b64decode(link.partition(";base64,")[2], validate=True)
            else:
                assert (folder / link).is_file(), link

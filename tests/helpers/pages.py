"""Pages of HTML as trees."""

from html.parser import HTMLParser

VOID = {"meta", "input", "link", "br"}


class Node:
    def __init__(self, tag, attrs, parent):
        self.tag, self.attrs, self.parent, self.children, self.texts = tag, dict(attrs), parent, [], []

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag=None, **attrs):
        """Descendants of a tag, with a class or other attributes."""
        wanted = {name.rstrip("_"): value for name, value in attrs.items()}
        kind = wanted.pop("class", None)
        return [
            node
            for node in self.walk()
            if (tag is None or node.tag == tag)
            and (kind is None or kind in node.attrs.get("class", "").split())
            and all(node.attrs.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag=None, **attrs):
        (found,) = self.all(tag, **attrs)
        return found

    @property
    def text(self):
        return " ".join("".join(part if isinstance(part, str) else f" {part.text} " for part in self.texts).split())


class Tree(HTMLParser):
    """The page as a tree; a tag that is closed out of turn fails."""

    def __init__(self, page):
        super().__init__()
        self.root = self.at = Node("root", {}, None)
        self.feed(page)
        self.close()
        assert self.at is self.root

    def handle_starttag(self, tag, attrs):
        node = Node(tag, attrs, self.at)
        self.at.children.append(node)
        self.at.texts.append(node)
        if tag not in VOID:
            self.at = node

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag == self.at.tag, (tag, self.at.tag)
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.texts.append(data)


def tree(page):
    return Tree(page).root

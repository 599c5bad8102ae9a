//! Elements of a page. Text gets into one only escaped, with nothing in it that acts or hides.

use std::fmt::{self, Display, Write};

use crate::workbench::shown::visible;

/// An element under way.
pub struct Element {
    tag: &'static str,
    attributes: String,
    inner: String,
}

pub fn el(tag: &'static str) -> Element {
    Element { tag, attributes: String::new(), inner: String::new() }
}

impl Element {
    pub fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        // Writing to a string does not fail; the same goes for the others.
        let _ = write!(self.attributes, " {name}=\"{}\"", escaped(&value.to_string()));
        self
    }

    pub fn class(self, class: &'static str) -> Self {
        self.attr("class", class)
    }

    pub fn text(mut self, text: impl Display) -> Self {
        self.inner.push_str(&escaped(&text.to_string()));
        self
    }

    pub fn add(mut self, child: Element) -> Self {
        let _ = write!(self.inner, "{child}");
        self
    }

    pub fn all(self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().fold(self, Element::add)
    }

    /// A style sheet of the program's own.
    pub fn style(mut self, css: &'static str) -> Self {
        self.inner.push_str(css);
        self
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element { tag, attributes, inner } = self;
        match *tag {
            "meta" => write!(f, "<{tag}{attributes}>"),
            _ => write!(f, "<{tag}{attributes}>{inner}</{tag}>"),
        }
    }
}

fn escaped(text: &str) -> String {
    visible(text).chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_text() {
        let found = el("p").class("a").attr("title", "\"><script>").text("</p><b onclick='x'>&").to_string();
        let expected =
            "<p class=\"a\" title=\"&quot;&gt;&lt;script&gt;\">&lt;/p&gt;&lt;b onclick=&#39;x&#39;&gt;&amp;</p>";
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn no_mark_of_a_text_is_left(text in any::<String>()) {
            let found = el("i").attr("t", &text).text(&text).to_string();
            prop_assert_eq!(found.matches(['<', '>']).count(), 4);
            prop_assert_eq!(found.matches('"').count(), 2);
        }
    }
}

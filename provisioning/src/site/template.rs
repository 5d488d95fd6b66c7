//! Strict rendering: `{{ name }}` and nothing else.
//!
//! No loops, no conditions, no code: what signers read in the diff is what appliances get. `{{ "text" }}` stands for
//! `text` itself, so that a file may hold `{{` as `{{ "{{" }}`.

use std::collections::BTreeMap;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Name { name: String, line: usize },
}

/// A place that is no `{{ name }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// Its line.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
}

/// Letters, digits and `_`, starting with a letter, lower case.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// The first `{{` without its `}}` on the same line, or with something else than a name between.
    pub(crate) fn parse(text: &str) -> Result<Self, Misplaced> {
        let mut segments = Vec::new();
        let (mut rest, mut line) = (text, 1);
        while let Some(start) = rest.find("{{") {
            let (before, opened) = rest.split_at(start);
            line += before.matches('\n').count();
            segments.push(Segment::Text(before.into()));
            let (segment, length) = placeholder(&opened[2..], line)?;
            segments.push(segment);
            rest = &opened[2 + length..];
        }
        segments.push(Segment::Text(rest.into()));
        Ok(Self { segments })
    }

    /// The names it uses, each with the first line that does.
    pub(crate) fn names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for segment in &self.segments {
            if let Segment::Name { name, line } = segment {
                names.entry(name.as_str()).or_insert(*line);
            }
        }
        names
    }

    /// The text with every name replaced; `None` if `value` lacks one.
    pub(crate) fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut out = String::new();
        for segment in &self.segments {
            out.push_str(match segment {
                Segment::Text(text) => text,
                Segment::Name { name, .. } => value(name)?,
            });
        }
        Some(out)
    }
}

/// What follows `{{`, and how many bytes it and its `}}` take.
fn placeholder(opened: &str, line: usize) -> Result<(Segment, usize), Misplaced> {
    let refuse = |what: String| Misplaced { line, what };
    let inner_line = opened.lines().next().unwrap_or("");
    let trimmed = inner_line.trim_start();
    if let Some(quoted) = trimmed.strip_prefix('"') {
        let (text, after) = quoted.split_once('"').ok_or_else(|| refuse("{{ \" has no closing quote".into()))?;
        let closed =
            after.trim_start().strip_prefix("}}").ok_or_else(|| refuse("{{ \"…\" is not closed by }}".into()))?;
        return Ok((Segment::Text(text.into()), inner_line.len() - closed.len()));
    }
    let (inner, _) = inner_line.split_once("}}").ok_or_else(|| refuse("{{ is not closed by }} on its line".into()))?;
    let name = inner.trim();
    if is_name(name) {
        Ok((Segment::Name { name: name.into(), line }, inner.len() + 2))
    } else {
        Err(refuse(format!("{{{{ {name} }}}} holds no name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Option<String> {
        Template::parse(text).unwrap().fill(|name| match name {
            "server_name" => Some("m.lu"),
            "trick" => Some("{{ server_name }}"),
            _ => None,
        })
    }

    #[test]
    fn names_are_replaced_once_and_never_again() {
        assert_eq!(fill("a: {{ server_name }}\nb: {{server_name}}\n").unwrap(), "a: m.lu\nb: m.lu\n");
        assert_eq!(fill("{{ trick }}").unwrap(), "{{ server_name }}", "a value is never rendered itself");
        assert_eq!(fill("no placeholder { } }}").unwrap(), "no placeholder { } }}");
    }

    #[test]
    fn an_unknown_name_renders_nothing() {
        assert_eq!(fill("{{ other }}"), None);
        assert_eq!(
            Template::parse("\n{{ b }} {{ a }}\n{{ b }}").unwrap().names(),
            BTreeMap::from([("a", 2), ("b", 2)])
        );
    }

    #[test]
    fn braces_can_be_written_literally() {
        assert_eq!(fill("{{ \"{{\" }} range {{ \"}}\" }}").unwrap(), "{{ range }}");
    }

    #[test]
    fn anything_but_a_name_is_refused_with_its_line() {
        for text in ["\n{{ a b }}", "\n{{ a", "\n{{ a\n}}", "\n{{}}", "\n{{ A }}", "\n{{ a | upper }}", "\n{{ \"x }}"] {
            assert_eq!(Template::parse(text).unwrap_err().line, 2, "{text:?}");
        }
    }
}

//! `groups/<group>/values/<group or appliance>.toml`: what `{{ name }}` stands for.

use std::collections::BTreeMap;

use toml::Spanned;

use super::finding::{Finding, Findings, SiteError, line_of, parse_toml};
use super::template::is_name;

/// The values of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// The file, relative to the site.
    pub(crate) file: String,
    /// Name → value.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// One value, as it will stand in a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The text.
    pub(crate) text: String,
    /// Where it is written.
    pub(crate) line: usize,
}

impl Values {
    /// Reads `text`: `name = value` lines, values being text, integers or booleans.
    ///
    /// # Errors
    /// Everything wrong in it.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, SiteError> {
        let written: BTreeMap<Spanned<String>, Spanned<toml::Value>> = parse_toml(file, text)?;
        let mut findings = Findings::default();
        let mut entries = BTreeMap::new();
        for (name, value) in written {
            let line = line_of(text, name.span().start);
            let name = name.into_inner();
            if !is_name(&name) {
                let what = format!("{name:?} cannot be a name");
                findings.push(Finding::new(file, line, what, "use a-z, 0-9 and '_', starting with a letter"));
                continue;
            }
            let text = match value.into_inner() {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                other => {
                    let what = format!("{name} is {}", kind(&other));
                    let suggestion = "write text in quotes, an integer, true or false";
                    findings.push(Finding::new(file, line, what, suggestion));
                    continue;
                }
            };
            entries.insert(name, Entry { text, line });
        }
        findings.none()?;
        Ok(Self { file: file.to_owned(), entries })
    }

    /// The text of `name`, if it is here.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.text.as_str())
    }
}

fn kind(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::Float(_) => "a fraction, which has no one spelling",
        toml::Value::Datetime(_) => "a bare date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
        _ => "no value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_integers_and_booleans_are_values() {
        let values = Values::parse("values/a.toml", "# x\nserver_name = \"m.lu\"\nport = 8448\ntls = true\n").unwrap();
        assert_eq!(
            ["server_name", "port", "tls", "other"].map(|name| values.get(name)),
            [Some("m.lu"), Some("8448"), Some("true"), None]
        );
        assert_eq!(values.entries["port"].line, 3);
    }

    #[test]
    fn everything_else_is_refused_with_its_line() {
        for (text, expected) in [
            ("a = 1\nb = 1.5\n", "values/a.toml:2: b is a fraction"),
            ("a = [1]\n", "values/a.toml:1: a is a list"),
            ("\n[a]\nb = 1\n", "values/a.toml:2: a is a table"),
            ("A-b = 1\n", "values/a.toml:1: \"A-b\" cannot be a name"),
            ("a = 1\na = 2\n", "values/a.toml:2: duplicate key"),
        ] {
            let error = Values::parse("values/a.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

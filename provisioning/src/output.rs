//! What a command prints: data on stdout (a table, or JSON with `--json`), talk on stderr.

use std::io::{self, IsTerminal, Write};

use casemate_protocol::tuf::time::UtcTime;
use serde_json::{Value, json};

use crate::exit::Failure;

/// Data and talk of one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// JSON data if `json`, else tables.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// One sentence for the person at the terminal.
    pub(crate) fn say(self, text: impl AsRef<str>) {
        // A closed stderr is no reason to fail.
        let _ = writeln!(io::stderr(), "{}", printable(text.as_ref()));
    }

    /// The data: `value` with `--json`, else `text`.
    pub(crate) fn data(self, value: &Value, text: impl AsRef<str>) {
        let mut out = io::stdout();
        // A reader that closed the pipe (`| head`) has seen enough.
        let _ = if self.json {
            writeln!(out, "{value:#}")
        } else {
            let text = printable(text.as_ref());
            write!(out, "{text}{}", if text.is_empty() || text.ends_with('\n') { "" } else { "\n" })
        };
    }

    /// How a command failed: `error: what (code)`, the causes, the remedy; with `--json` also as data.
    pub(crate) fn failure(self, failure: &Failure) {
        self.say(format!("error: {} ({})", failure.what(), failure.code()));
        for cause in failure.why() {
            self.say(format!("  why: {cause}"));
        }
        self.say(format!("  to do: {}", failure.remedy()));
        if self.json {
            let error = json!({
                "code": failure.code(), "what": failure.what(), "why": failure.why(), "remedy": failure.remedy(),
            });
            self.data(&json!({ "error": error }), "");
        }
    }

    /// A progress bar over `bytes`, drawn on stderr when that is a terminal and the work is long.
    pub(crate) fn progress(self, bytes: u64) -> indicatif::ProgressBar {
        /// Below this the work is over before anybody has read the bar.
        const LONG: u64 = 64 * 1024 * 1024;
        if bytes < LONG || !io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        let bar = indicatif::ProgressBar::new(bytes);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        bar
    }
}

/// Rows under a head, columns aligned with spaces.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes as people read it: `640 B`, `12.0 KiB`, `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (count, "B");
    let (mut scale, mut index) = (1024_u64, 0);
    if count < scale {
        return format!("{count} B");
    }
    while index < units.len() && count >= scale {
        // Tenths, rounded down, without floating point.
        shown = (count / (scale / 10).max(1), units[index]);
        scale = scale.saturating_mul(1024);
        index += 1;
    }
    format!("{}.{} {}", shown.0 / 10, shown.0 % 10, shown.1)
}

/// `3 files`, `1 file`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The wall clock.
pub(crate) fn wall_clock() -> UtcTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UtcTime::from_unix(since.map_or(0, |since| since.as_secs()))
}

/// `text` without what a terminal would obey: a signing request or a bundle that others wrote could paint over the
/// very lines that say what it changes.
fn printable(text: &str) -> String {
    let visible = |character: char| match character {
        '\n' | '\t' => character,
        // Marks that turn the order of what follows round are no control characters to Unicode, but do the same.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(
            [0, 1023, 1024, 1536, 1 << 20, 3 << 29].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.5 GiB"]
        );
    }

    #[test]
    fn what_others_wrote_cannot_paint_over_the_screen() {
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(printable("\u{1b}[2Jno\rchange\u{202e}\u{9b}"), "\u{fffd}[2Jno\u{fffd}change\u{fffd}\u{fffd}");
    }

    #[test]
    fn columns_align_and_lines_have_no_trailing_space() {
        let mut table = Table::new(&["id", "state"]);
        table.row(["lux-001".to_owned(), "pending".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "id       state\nlux-001  pending\nb\n");
    }
}

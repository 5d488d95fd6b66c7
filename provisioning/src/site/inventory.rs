//! `appliances.csv`: one line an appliance.

use casemate_protocol::device::assignment::MAX_OWNERS;
use casemate_protocol::device::id::{ApplianceId, Name};
use serde::Deserialize;

use super::finding::{Finding, Findings, SiteError, nearest};

/// File name.
pub(crate) const FILE: &str = "appliances.csv";
/// The columns, in the order `init` writes them.
pub(crate) const HEAD: [&str; 4] = ["id", "serial", "groups", "boundary"];
/// Longest serial number.
const MAX_SERIAL: usize = 128;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The appliance.
    pub(crate) id: ApplianceId,
    /// What its maker calls it; free text, stays in this file.
    pub(crate) serial: String,
    /// The groups it serves, sorted.
    pub(crate) groups: Vec<Name>,
    /// The boundary it lives in; none = nothing may leave.
    pub(crate) boundary: Option<Name>,
    /// Where it stands.
    pub(crate) line: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    #[serde(default)]
    serial: String,
    #[serde(default)]
    groups: String,
    #[serde(default)]
    boundary: String,
}

/// Reads the text of `appliances.csv`: comma-separated, a head line, `#` starts a comment, groups separated by
/// spaces.
///
/// # Errors
/// Everything wrong in it.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>, SiteError> {
    let mut findings = Findings::default();
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| broken(&error))?.clone();
    for name in &head {
        if !HEAD.contains(&name) {
            let line = head.position().map_or(1, csv::Position::line);
            findings.push(Finding::new(
                FILE,
                as_line(line),
                format!("column {name:?} is not known"),
                nearest(name, &HEAD),
            ));
        }
    }
    findings.none()?;
    let mut findings = Findings::default();
    let mut rows: Vec<Row> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, |position| as_line(position.line()));
        let written: Written = record.deserialize(Some(&head)).map_err(|error| broken(&error))?;
        let Some(row) = findings.keep(read_row(&written, line))? else { continue };
        if let Some(other) = rows.iter().find(|other| other.id == row.id) {
            let what = format!("appliance {} stands twice, first on line {}", row.id, other.line);
            findings.push(Finding::new(FILE, line, what, "keep one of the lines"));
            continue;
        }
        rows.push(row);
    }
    findings.none()?;
    Ok(rows)
}

fn read_row(written: &Written, line: usize) -> Result<Row, SiteError> {
    let mut findings = Findings::default();
    let mut name = |what: &str, text: &str| {
        text.parse::<Name>()
            .map_err(|error| findings.push(Finding::new(FILE, line, format!("{what}: {error}"), "write such a name")))
            .ok()
    };
    let id = name("id", &written.id);
    let mut groups: Vec<_> = written.groups.split_whitespace().filter_map(|group| name("groups", group)).collect();
    let boundary = if written.boundary.is_empty() { None } else { name("boundary", &written.boundary) };
    groups.sort();
    groups.dedup();
    if groups.len() > MAX_OWNERS {
        let what = format!("{} groups on one appliance", groups.len());
        findings.push(Finding::new(FILE, line, what, format!("keep at most {MAX_OWNERS}")));
    }
    if written.serial.len() > MAX_SERIAL || written.serial.chars().any(char::is_control) {
        findings.push(Finding::new(
            FILE,
            line,
            "the serial is no plain text",
            "write at most 128 printable characters",
        ));
    }
    findings.none()?;
    // A missing id was a finding.
    let id = id.ok_or_else(|| Finding::new(FILE, line, "id is absent", "write one"))?;
    Ok(Row { id, serial: written.serial.clone(), groups, boundary, line })
}

fn as_line(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

fn broken(error: &csv::Error) -> Finding {
    let line = error.position().map_or(0, |position| as_line(position.line()));
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the head has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".into(),
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        _ => error.to_string(),
    };
    Finding::new(FILE, line, what, format!("write {} on every line", HEAD.join(",")))
}

/// `row` as a line of a file with these columns.
pub(crate) fn line(row: &Row, columns: &[&str]) -> String {
    let groups = row.groups.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
    let cells = columns.iter().map(|column| match *column {
        "id" => row.id.to_string(),
        "serial" if row.serial.contains([',', '"', '#']) || row.serial.trim() != row.serial => {
            format!("\"{}\"", row.serial.replace('"', "\"\""))
        }
        "serial" => row.serial.clone(),
        "groups" => groups.clone(),
        _ => row.boundary.as_ref().map(ToString::to_string).unwrap_or_default(),
    });
    cells.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_comments_and_quotes() {
        let rows = parse("# fleet\nid,serial,groups,boundary\nlux-001,\"A,1\",wards clinics,\n").unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].serial, "A,1");
        assert_eq!(rows[0].groups.iter().map(Name::as_str).collect::<Vec<_>>(), ["clinics", "wards"]);
        assert_eq!(rows[0].line, 3);
        let again = parse(&format!("{}\n{}", HEAD.join(","), line(&rows[0], &HEAD))).unwrap();
        assert_eq!(again[0], Row { line: 2, ..rows[0].clone() });
    }

    #[test]
    fn every_mistake_names_its_line() {
        for (text, expected) in [
            ("id,serail\n", "appliances.csv:1: column \"serail\" is not known; did you mean \"serial\"?"),
            (
                "id,groups\nlux-001,clinics\nlux-001,\n",
                "appliances.csv:3: appliance lux-001 stands twice, first on line 2",
            ),
            ("id,groups\nlux_001,\n", "appliances.csv:2: id: \"lux_001\" is no name"),
            ("id,groups\na,Clinics\n", "appliances.csv:2: groups: \"Clinics\" is no name"),
            ("id,groups\na\n", "appliances.csv:2: 1 fields where the head has 2"),
            ("id,boundary\na,b/c\n", "appliances.csv:2: boundary: \"b/c\" is no name"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}

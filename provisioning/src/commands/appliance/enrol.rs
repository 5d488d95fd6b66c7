//! `casemate appliance enrol`.

use std::path::{Path, PathBuf};

use casemate_protocol::device::enrolment::{EnrolmentGrant, EnrolmentRequest, MAX_ENROLMENT_FILE};
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use serde_json::json;

use super::EnrolError;
use crate::authority::{AuthorityError, request};
use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file;
use crate::repository::{Place, State};
use crate::signing::publication::same_jurisdiction;
use crate::site::Site;
use crate::site::enrolled::{Enrolled, State as Enrolment};
use crate::site::finding::{Finding, nearest};
use crate::site::inventory::{self, Row};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request the appliance wrote (`casemate-agent enrol request`)
    request: PathBuf,
    /// A group it serves; may be given several times
    #[arg(short, long = "group", value_name = "GROUP")]
    groups: Vec<Name>,
    /// The boundary it lives in; nothing may leave it unless given
    #[arg(short, long, value_name = "BOUNDARY")]
    boundary: Option<Name>,
    /// Its id in this site; the request's file name without extension unless given
    #[arg(long)]
    id: Option<ApplianceId>,
    /// What its maker calls it; stays in appliances.csv
    #[arg(long, default_value = "")]
    serial: String,
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let site = Site::read(context.layout()?)?;
    let state = State::read(Place::new(site.layout.repository()))?;
    same_jurisdiction(&site.settings, &state)?;
    let shown = args.request.display().to_string();
    let raw = file::read(&args.request, MAX_ENROLMENT_FILE)?;
    let request = EnrolmentRequest::parse(&raw).map_err(|source| EnrolError::Request(shown, source))?;
    let id = id(args)?;
    let device = request.keys().fingerprint();
    let again = known(&site, &id, device)?;
    let row = row(&site, args, &id)?;
    let csr = certificate_request(&id, &request)?;
    let grant = EnrolmentGrant::new(id.clone(), site.settings.jurisdiction, device, &state.root.raw);
    let enrolled = Enrolled {
        format: 1,
        appliance: id.clone(),
        jurisdiction: site.settings.jurisdiction,
        state: again.map_or(Enrolment::Pending, |found| found.state),
        keys: request.keys().clone(),
        root: Digest::of(&state.root.raw),
        csr,
    };
    let grant_path = args.request.with_extension("grant");
    if again.is_none() {
        if let Some(row) = row {
            add_line(&site.layout.file(inventory::FILE), &row)?;
        }
        file::create_folder(&site.layout.file("appliances"))?;
        file::create(&site.layout.file(&Enrolled::file(&id)), &enrolled.to_bytes()?, file::Audience::Everybody)?;
    } else if enrolled.state == Enrolment::Pending {
        // The root may be another than at the first grant: the words to compare are those of this one.
        file::replace(&site.layout.file(&Enrolled::file(&id)), &enrolled.to_bytes()?)?;
    } else if let Some(found) = again.filter(|found| found.csr.is_none() && enrolled.csr.is_some()) {
        // A device enrolled by a program that made none.
        let with = Enrolled { csr: enrolled.csr.clone(), ..found.clone() };
        file::replace(&site.layout.file(&Enrolled::file(&id)), &with.to_bytes()?)?;
    }
    file::replace(&grant_path, &grant.to_bytes().map_err(|source| EnrolError::Request("the grant".into(), source))?)?;
    let words = enrolled.words();
    context.output.say(format!("Wrote {}; carry it back to the appliance.", grant_path.display()));
    context.output.say("The appliance will show these words; compare them over another channel, then run");
    context.output.say(format!("  casemate appliance confirm {id} --words …"));
    let value = json!({
        "appliance": id, "state": enrolled.state, "grant": grant_path, "device": device, "words": words.to_string(),
    });
    context.output.data(&value, words.lines().join("\n"));
    Ok(Exit::DONE)
}

fn id(args: &Args) -> Result<ApplianceId, EnrolError> {
    if let Some(id) = &args.id {
        return Ok(id.clone());
    }
    let stem = args.request.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.parse().map_err(|_| EnrolError::NoId(stem))
}

/// The certificate request in `request`, as it is kept; whoever made it holds the TLS key.
fn certificate_request(id: &ApplianceId, request: &EnrolmentRequest) -> Result<Option<String>, AuthorityError> {
    let Some(csr) = &request.request.csr else { return Ok(None) };
    let der = encoding::from_base64(csr).unwrap_or_default();
    request::of_appliance(id.as_str(), &der, request.keys())?;
    Ok(Some(csr.clone()))
}

/// The same device under the same id may be granted again: a grant can get lost.
fn known<'a>(site: &'a Site, id: &ApplianceId, device: Digest) -> Result<Option<&'a Enrolled>, EnrolError> {
    if let Some(found) = site.enrolled.get(id) {
        return if found.keys.fingerprint() == device { Ok(Some(found)) } else { Err(EnrolError::Taken(id.clone())) };
    }
    match site.enrolled.values().find(|found| found.keys.fingerprint() == device) {
        Some(found) => Err(EnrolError::Known(found.appliance.clone())),
        None => Ok(None),
    }
}

/// The line to add; `None` if it is there.
fn row(site: &Site, args: &Args, id: &ApplianceId) -> Result<Option<Row>, Failure> {
    let known: Vec<_> = site.groups.keys().map(Name::as_str).collect();
    if let Some(group) = args.groups.iter().find(|group| !site.groups.contains_key(*group)) {
        let what = format!("there is no group {group}");
        return Err(Finding::new("--group", 0, what, nearest(group.as_str(), &known)).into());
    }
    let boundaries: Vec<_> = site.boundaries.named.keys().map(Name::as_str).collect();
    if let Some(name) = args.boundary.as_ref().filter(|name| !boundaries.contains(&name.as_str())) {
        let what = format!("there is no boundary {name}");
        return Err(Finding::new("--boundary", 0, what, nearest(name.as_str(), &boundaries)).into());
    }
    if site.groups.contains_key(id) {
        let what = format!("{id} is the name of a group");
        return Err(Finding::new("--id", 0, what, "choose another id").into());
    }
    let mut groups = args.groups.clone();
    groups.sort();
    groups.dedup();
    if let Some(row) = site.inventory.iter().find(|row| row.id == *id) {
        if !groups.is_empty() && groups != row.groups {
            let list = |groups: &[Name]| groups.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
            let (written, given) = (list(&row.groups), list(&groups));
            return Err(EnrolError::Groups { line: row.line, id: id.clone(), written, given }.into());
        }
        if args.boundary.is_some() && args.boundary != row.boundary {
            let what = format!("{id} has another boundary than --boundary says");
            return Err(
                Finding::new(inventory::FILE, row.line, what, "change the line, or leave out --boundary").into()
            );
        }
        return Ok(None);
    }
    if groups.is_empty() {
        return Err(EnrolError::NoGroup(id.clone()).into());
    }
    Ok(Some(Row { id: id.clone(), serial: args.serial.clone(), groups, boundary: args.boundary.clone(), line: 0 }))
}

/// Adds a line and keeps every other byte: comments are the operator's.
fn add_line(path: &Path, row: &Row) -> Result<(), Failure> {
    let mut text = String::from_utf8_lossy(&file::read(path, 64 * 1024 * 1024)?).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let head = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty()).unwrap_or_default();
    let columns: Vec<_> = head.split(',').map(str::trim).collect();
    if row.boundary.is_some() && !columns.contains(&"boundary") {
        let line = text.lines().position(|line| line == head).map_or(0, |index| index + 1);
        let what = "there is no column \"boundary\"";
        return Err(Finding::new(inventory::FILE, line, what, "add it to the head and to every line").into());
    }
    text.push_str(&inventory::line(row, &columns));
    // The file must still be one that can be read.
    inventory::parse(&text)?;
    Ok(file::replace(path, text.as_bytes())?)
}

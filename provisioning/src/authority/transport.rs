//! What assignments carry of all this, and how a change of it is told.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::device::certificate_name::CertificateKind;
use casemate_protocol::device::id::ApplianceId;
use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::time::UtcTime;
use serde_json::{Value, json};

use super::register::Entry;
use super::request::tls_pin;
use super::{Certificate, Crl, Folder};
use crate::output::count;
use crate::site::Site;
use crate::site::settings::Transport;

/// Days before the end of a certificate or the age of a list from which on `plan` warns.
const WARNING_DAYS: u64 = 60;

/// Holders by serial number and by digest of the key, for telling who was revoked.
pub(crate) type Holders = BTreeMap<String, String>;

/// What goes into the assignment of `id`; none if the site has neither an authority nor a `[transport]`.
pub(crate) fn settings(site: &Site, id: &ApplianceId) -> Option<TransportSettings> {
    if site.authority.is_none() && site.settings.transport.is_none() {
        return None;
    }
    let Transport { poll_seconds, crl_max_age_days } = site.settings.transport.unwrap_or_default();
    let material = site.authority.as_ref().map_or_else(TransportMaterial::default, |folder| TransportMaterial {
        certificate: usable(site, folder, id).into_iter().flatten().map(|part| part.der.clone()).collect(),
        anchors: folder.authorities().map(|authority| authority.der.clone()).collect(),
        crls: folder.crls().map(|crl| crl.der.clone()).collect(),
    });
    let revoked_keys = site.authority.iter().flat_map(|folder| folder.register.revoked_keys().into_keys()).collect();
    Some(TransportSettings { poll_seconds, crl_max_age_days, revoked_keys, ..material.settings() })
}

/// The appliance's chain, if it is for its key and not revoked.
fn usable<'a>(site: &Site, folder: &'a Folder, id: &ApplianceId) -> Result<&'a [Certificate], &'static str> {
    let chain = folder.certificates.get(&(CertificateKind::Appliance, id.clone()));
    let Some(chain) = chain else { return Err("has no certificate") };
    if folder.is_revoked(&chain[0]) {
        return Err("has a certificate that is revoked");
    }
    let key: Option<Digest> = site.enrolled.get(id).and_then(|enrolled| tls_pin(&enrolled.keys));
    if key != Some(chain[0].spki) {
        return Err("has a certificate for another key");
    }
    Ok(chain)
}

/// What will soon be missed, or is missed already.
pub(crate) fn warnings(site: &Site, now: UtcTime) -> Vec<String> {
    let Some(folder) = &site.authority else { return Vec::new() };
    let mut warnings = Vec::new();
    for (row, _) in site.confirmed() {
        let id = &row.id;
        match usable(site, folder, id) {
            Err(why) => {
                warnings.push(format!("{id} {why} and makes no connections: `casemate ca issue appliance {id}`"));
            }
            Ok(chain) if chain[0].not_after <= now.plus_days(WARNING_DAYS) => warnings.push(format!(
                "the certificate of {id} holds until {}: `casemate ca renew appliance {id}`",
                day(chain[0].not_after)
            )),
            Ok(_) => {}
        }
    }
    let most = site.settings.transport.unwrap_or_default().crl_max_age_days;
    for crl in folder.crls() {
        if crl.is_stale(now.plus_days(u64::from(most) / 2), most) {
            let written = day(crl.this_update);
            warnings.push(format!("the revocation list of {written} is half-way to stale: `casemate ca crl`"));
        }
    }
    warnings
}

/// Who holds which serial number, and which key.
pub(crate) fn holders(site: &Site) -> Holders {
    let entries = site.authority.iter().flat_map(|folder| &folder.register.0);
    let named = |entry: &Entry| {
        let holder = format!("{} {}", entry.kind, entry.id);
        [(entry.serial.clone(), holder.clone()), (entry.spki.to_string(), holder)]
    };
    entries.flat_map(named).collect()
}

/// Settings in one line: `certificate until 2028-12-21; 1 authority; 2 revoked`.
pub(crate) fn told(settings: Option<&TransportSettings>) -> String {
    let Some(read) = settings.map(Read::of) else { return "no connections".into() };
    let Some(read) = read else { return "cannot be used".into() };
    let certificate = match read.certificate.first() {
        Some(certificate) => format!("certificate until {}", day(certificate.not_after)),
        None => "no certificate".into(),
    };
    let authorities = match read.anchors.len() {
        1 => "1 authority".into(),
        number => format!("{number} authorities"),
    };
    format!("{certificate}; {authorities}; {} revoked", read.serials().count())
}

/// Settings as data.
pub(crate) fn value(settings: Option<&TransportSettings>) -> Value {
    let Some(settings) = settings else { return Value::Null };
    let Some(read) = Read::of(settings) else {
        return json!({ "code": casemate_protocol::code::Code::TransportInvalid });
    };
    let certificate = read.certificate.first().map(|certificate| {
        json!({
            "serial": certificate.serial, "not_before": certificate.not_before, "not_after": certificate.not_after,
            "spki": certificate.spki, "name": certificate.name.as_ref().map(ToString::to_string),
        })
    });
    let crl =
        |crl: &Crl| json!({ "this_update": crl.this_update, "next_update": crl.next_update, "revoked": crl.serials });
    json!({ "revoked_keys": settings.revoked_keys,
        "certificate": certificate, "anchors": read.anchors.iter().map(|anchor| anchor.spki).collect::<Vec<_>>(),
        "crls": read.crls.iter().map(crl).collect::<Vec<_>>(),
        "poll_seconds": settings.poll_seconds, "crl_max_age_days": settings.crl_max_age_days,
    })
}

/// What an appliance with `old` gets otherwise with `new`.
pub(crate) fn differences(
    old: Option<&TransportSettings>,
    new: Option<&TransportSettings>,
    holders: &Holders,
) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let read = |settings: Option<&TransportSettings>| settings.and_then(Read::of).unwrap_or_default();
    let (before, after) = (read(old), read(new));
    let mut told = Vec::new();
    match (before.certificate.first(), after.certificate.first()) {
        (one, two) if one.map(|one| &one.der) == two.map(|two| &two.der) => {}
        (None, Some(two)) => told.push(format!("new certificate until {}", day(two.not_after))),
        (Some(one), Some(two)) if one.spki == two.spki => {
            told.push(format!("certificate renewed until {} (was {})", day(two.not_after), day(one.not_after)));
        }
        (Some(_), Some(two)) => told.push(format!("certificate for another key until {}", day(two.not_after))),
        (_, None) => told.push("certificate taken away: it makes no connections".into()),
    }
    told.extend(revocations(&before, &after, holders));
    let keys = |settings: Option<&TransportSettings>| settings.map_or_else(Vec::new, |it| it.revoked_keys.clone());
    told.extend(revoked_keys(&keys(old), &keys(new), holders));
    if before.anchors != after.anchors {
        told.push(format!("accepts certificates of {}", count(after.anchors.len(), "authority").replace("ys", "ies")));
    }
    if let (Some(old), Some(new)) = (old, new) {
        let mut number = |what: &str, one: u32, two: u32| {
            if one != two {
                told.push(format!("{what} {one} -> {two}"));
            }
        };
        number("seconds between polls", old.poll_seconds, new.poll_seconds);
        number("days until a revocation list is stale", old.crl_max_age_days, new.crl_max_age_days);
    }
    if told.is_empty() {
        told.push("other connection settings".into());
    }
    told
}

/// What lists say otherwise than before. What is on them no more is named: somebody may be let in again.
fn revocations(before: &Read, after: &Read, holders: &Holders) -> Vec<String> {
    let whom = |serial: &String| match holders.get(serial) {
        Some(holder) => holder.clone(),
        None => format!("certificate {serial}"),
    };
    let lacking = |of: &Read, other: &Read| -> String {
        let lacking = of.serials().filter(|serial| !other.serials().any(|known| known == *serial));
        lacking.map(whom).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    let (fresh, gone) = (lacking(after, before), lacking(before, after));
    let mut told = Vec::new();
    if !fresh.is_empty() {
        told.push(format!("revoked: {fresh}"));
    }
    let rank = |crl: &Crl| (crl.number, crl.this_update);
    let is_newer = |old: &Crl, new: &Crl| new.issuer == old.issuer && rank(new) >= rank(old);
    // Of an authority that is accepted no more nobody is let in, list or not.
    let counts = |old: &&Crl| after.anchors.iter().any(|anchor| anchor.subject == old.issuer);
    let is_behind = before.crls.iter().filter(counts).any(|old| !after.crls.iter().any(|new| is_newer(old, new)));
    if !gone.is_empty() {
        told.push(format!("no more on a revocation list: {gone}"));
    }
    if is_behind {
        told.push("an older revocation list or none: appliances stay with the newer one they have".into());
    } else if told.is_empty() && before.crls != after.crls && !before.crls.is_empty() {
        told.push("newer revocation list".into());
    }
    told
}

/// Which keys of peers are refused from now on, and which no more.
fn revoked_keys(before: &[Digest], after: &[Digest], holders: &Holders) -> Vec<String> {
    let whom = |key: &&Digest| match holders.get(&key.to_string()) {
        Some(holder) => format!("{holder} ({key})"),
        None => key.to_string(),
    };
    let lacking = |of: &[Digest], other: &[Digest]| -> String {
        of.iter().filter(|key| !other.contains(key)).map(|key| whom(&key)).collect::<Vec<_>>().join(", ")
    };
    let (fresh, gone) = (lacking(after, before), lacking(before, after));
    let told = [("key revoked, whoever pins it: ", fresh), ("key revoked no more: ", gone)];
    told.into_iter().filter(|(_, keys)| !keys.is_empty()).map(|(what, keys)| format!("{what}{keys}")).collect()
}

/// [`TransportSettings`], read as far as people want to know.
#[derive(Debug, Default)]
struct Read {
    certificate: Vec<Certificate>,
    anchors: Vec<Certificate>,
    crls: Vec<Crl>,
}

impl Read {
    fn of(settings: &TransportSettings) -> Option<Self> {
        let material = settings.material().ok()?;
        let certificates =
            |list: &[Vec<u8>]| list.iter().map(|der| Certificate::parse(der)).collect::<Option<Vec<_>>>();
        Some(Self {
            certificate: certificates(&material.certificate)?,
            anchors: certificates(&material.anchors)?,
            crls: material.crls.iter().map(|der| Crl::parse(der)).collect::<Option<_>>()?,
        })
    }

    fn serials(&self) -> impl Iterator<Item = &String> {
        self.crls.iter().flat_map(|crl| &crl.serials)
    }
}

/// The day alone: appliances that were certified within minutes are told in one line.
fn day(time: UtcTime) -> String {
    time.to_string().chars().take(10).collect()
}

//! Revocation lists that never go back: of each authority the one with the highest number counts.

use std::collections::BTreeMap;

use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::encoding;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::TlsError;

/// Lists used, and lists remembered: one each of as many authorities as an assignment may name.
const MOST: usize = 4;

/// Number (its length first: so they compare as numbers do) and time of a list.
type Rank = (usize, Vec<u8>, i64);

/// A list that an authority of an assignment has signed, or of which that assignment names no authority.
struct Ranked<'a> {
    text: &'a String,
    issuer: Vec<u8>,
    rank: Rank,
    /// An authority of the assignment has signed it.
    is_anchored: bool,
}

/// The settings that count where `settings` are signed now and `remembered` lists came earlier: older lists give way to
/// newer ones of the same authority.
///
/// # Errors
/// A signed list is not well-formed, or not signed by the authority it names.
pub fn settings_in_force(settings: &TransportSettings, remembered: &[String]) -> Result<TransportSettings, TlsError> {
    let anchors = decoded(&settings.anchors);
    let signed = settings.crls.iter().map(|text| read(text, &anchors)).collect::<Result<Vec<_>, _>>()?;
    let kept = remembered.iter().filter_map(|text| read(text, &anchors).ok()).filter(|list| list.is_anchored);
    let mut lists: Vec<_> = newest(signed.into_iter().chain(kept)).collect();
    lists.sort_by_key(|list| !list.is_anchored);
    lists.truncate(MOST);
    let crls = lists.into_iter().map(|list| list.text.clone()).collect();
    Ok(TransportSettings { crls, ..settings.clone() })
}

/// What has to be remembered where `in_force` counted and `next` will: the newest list of each authority, as far as
/// `next` does not carry it itself.
#[must_use]
pub fn to_remember(
    remembered: &[String],
    in_force: Option<&TransportSettings>,
    next: Option<&TransportSettings>,
) -> Vec<String> {
    let anchors = |settings: Option<&TransportSettings>| settings.map_or_else(Vec::new, |it| decoded(&it.anchors));
    let (theirs, ours) = (anchors(in_force), anchors(next));
    let before = in_force.iter().flat_map(|it| &it.crls).filter_map(|text| read(text, &theirs).ok());
    let after = next.iter().flat_map(|it| &it.crls).filter_map(|text| read(text, &ours).ok());
    // Anybody's name stands on a list that no authority has signed: it pushes no other one out.
    let signed = after.chain(before).filter(|list| list.is_anchored);
    let kept = remembered.iter().filter_map(|text| read(text, &[]).ok());
    let mut lists: Vec<_> = newest(signed.chain(kept)).collect();
    let is_ours = |list: &Ranked<'_>| read(list.text, &ours).is_ok_and(|list| list.is_anchored);
    lists.sort_by_key(|list| !is_ours(list));
    lists.truncate(MOST);
    let carried = |text: &String| next.is_some_and(|settings| settings.crls.contains(text));
    lists.into_iter().map(|list| list.text.clone()).filter(|text| !carried(text)).collect()
}

/// Of each issuer the newest; of equals the first.
fn newest<'a>(lists: impl Iterator<Item = Ranked<'a>>) -> impl Iterator<Item = Ranked<'a>> {
    let mut newest: BTreeMap<Vec<u8>, Ranked<'a>> = BTreeMap::new();
    for list in lists {
        match newest.get(&list.issuer) {
            Some(known) if known.rank >= list.rank => {}
            _ => drop(newest.insert(list.issuer.clone(), list)),
        }
    }
    newest.into_values()
}

fn read<'a>(text: &'a String, anchors: &[Vec<u8>]) -> Result<Ranked<'a>, TlsError> {
    let malformed = || TlsError::Malformed { what: "revocation lists" };
    let der = encoding::from_base64(text).map_err(|_| malformed())?;
    let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    let issuer = list.issuer().as_raw();
    let (mut is_named, mut is_anchored) = (false, false);
    for anchor in anchors.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)) {
        if anchor.subject().as_raw() == issuer {
            is_named = true;
            is_anchored |= list.verify_signature(anchor.public_key()).is_ok();
        }
    }
    // TLS would refuse every certificate of that authority.
    if is_named && !is_anchored {
        return Err(TlsError::Unsigned);
    }
    let number = list.crl_number().map_or_else(Vec::new, x509_parser::num_bigint::BigUint::to_bytes_be);
    let rank = (number.len(), number, list.last_update().timestamp());
    Ok(Ranked { text, issuer: issuer.to_vec(), rank, is_anchored })
}

fn decoded(list: &[String]) -> Vec<Vec<u8>> {
    list.iter().filter_map(|text| encoding::from_base64(text).ok()).collect()
}

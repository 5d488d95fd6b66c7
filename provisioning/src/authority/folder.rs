//! `ca/`: what everybody may know of the authority.

use std::collections::BTreeMap;
use std::fs;

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::device::id::{Jurisdiction, Name};

use super::pem::{self, CERTIFICATE, CRL};
use super::register::{self, Register};
use super::{Certificate, Crl};
use crate::file::{self, FileError};
use crate::site::Layout;
use crate::site::finding::{Finding, Findings, SiteError};

/// The folder in the site.
pub(crate) const FOLDER: &str = "ca";
/// The authority's certificate.
pub(crate) const AUTHORITY: &str = "ca/authority.pem";
/// Its revocation list.
pub(crate) const REVOKED: &str = "ca/crl.pem";
/// Further authorities.
const ANCHORS: &str = "ca/anchors";
/// Longest file read, bytes.
const MAX_LENGTH: u64 = 4 * 1024 * 1024;

/// A holder.
pub(crate) type Holder = (CertificateKind, Name);

/// The folder, read and checked.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// The authority that issues.
    pub(crate) authority: Certificate,
    /// Its revocation list, if the file holds one.
    pub(crate) crl: Option<Crl>,
    /// Further authorities that appliances accept.
    pub(crate) anchors: Vec<Certificate>,
    /// Their revocation lists.
    pub(crate) other_crls: Vec<Crl>,
    /// Everything issued.
    pub(crate) register: Register,
    /// The newest certificate of each holder, with the chain up to its anchor.
    pub(crate) certificates: BTreeMap<Holder, Vec<Certificate>>,
}

/// Where a holder's newest certificate stands.
pub(crate) fn certificate_file(kind: CertificateKind, id: &Name) -> String {
    format!("{FOLDER}/certificates/{kind}/{id}.pem")
}

impl Folder {
    /// Reads the folder; none if there is no authority.
    ///
    /// # Errors
    /// A file cannot be read; what is wrong in them goes to `findings`.
    pub(crate) fn read(
        layout: &Layout,
        jurisdiction: Jurisdiction,
        findings: &mut Findings,
    ) -> Result<Option<Self>, SiteError> {
        let Some(authority) = read_authority(layout, findings)? else { return Ok(None) };
        let crl = file::read_if_any(&layout.file(REVOKED), MAX_LENGTH)?;
        let crl = crl.and_then(|raw| pem::or_der(CRL, raw)).and_then(|der| Crl::parse(&der));
        let crl = crl.filter(|crl| crl.is_signed_by(&authority));
        if crl.is_none() {
            let what = format!("this is no revocation list of {AUTHORITY}");
            findings.push(Finding::new(REVOKED, 0, what, "run `casemate ca crl`"));
        }
        let register = file::read_if_any(&layout.file(register::FILE), MAX_LENGTH)?.unwrap_or_default();
        // Without it a revoked certificate would be handed out again.
        let Some(register) = findings.keep(Register::parse(&String::from_utf8_lossy(&register)))? else {
            return Ok(None);
        };
        let mut folder = Self {
            authority,
            crl,
            anchors: Vec::new(),
            other_crls: Vec::new(),
            register,
            certificates: BTreeMap::new(),
        };
        folder.read_anchors(layout, findings)?;
        for kind in CertificateKind::ALL {
            folder.read_certificates(layout, (jurisdiction, kind), findings)?;
        }
        folder.check_revoked(findings);
        Ok(Some(folder))
    }

    /// Every authority that appliances accept, ours first.
    pub(crate) fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        [&self.authority].into_iter().chain(&self.anchors)
    }

    /// Every revocation list, ours first.
    pub(crate) fn crls(&self) -> impl Iterator<Item = &Crl> {
        self.crl.iter().chain(&self.other_crls)
    }

    /// Whether `certificate` is on a revocation list, or should be.
    pub(crate) fn is_revoked(&self, certificate: &Certificate) -> bool {
        let listed = |crl: &Crl| crl.issuer == certificate.issuer && crl.serials.contains(&certificate.serial);
        let registered =
            self.register.serial(&certificate.serial).filter(|_| certificate.issuer == self.authority.subject);
        self.crls().any(listed) || registered.is_some_and(|entry| entry.revoked_at.is_some())
    }

    fn read_anchors(&mut self, layout: &Layout, findings: &mut Findings) -> Result<(), SiteError> {
        let mut crls = Vec::new();
        for name in names(layout, ANCHORS, findings)? {
            let relative = format!("{ANCHORS}/{name}");
            let mut wrong = |what: &str, suggestion: &str| findings.push(Finding::new(&relative, 0, what, suggestion));
            let Some(blocks) = pem::blocks(&file::read(&layout.file(&relative), MAX_LENGTH)?) else {
                wrong("this is no PEM", "save the certificate as PEM, or remove the file");
                continue;
            };
            for (label, der) in blocks {
                match (label.as_str(), Certificate::parse(&der), Crl::parse(&der)) {
                    (CERTIFICATE, Some(anchor), _) if anchor.is_authority => self.anchors.push(anchor),
                    (CRL, _, Some(crl)) => crls.push((relative.clone(), crl)),
                    _ => wrong("a block is no authority's certificate and no revocation list", "keep only these"),
                }
            }
        }
        for (relative, crl) in crls {
            if self.anchors.iter().any(|anchor| crl.is_signed_by(anchor)) {
                self.other_crls.push(crl);
            } else {
                let what = "no authority in this folder has signed this revocation list";
                findings.push(Finding::new(&relative, 0, what, "add its authority, or remove the list"));
            }
        }
        Ok(())
    }

    fn read_certificates(
        &mut self,
        layout: &Layout,
        (jurisdiction, kind): (Jurisdiction, CertificateKind),
        findings: &mut Findings,
    ) -> Result<(), SiteError> {
        let folder = format!("{FOLDER}/certificates/{kind}");
        for name in names(layout, &folder, findings)? {
            let relative = format!("{folder}/{name}");
            let raw = file::read(&layout.file(&relative), MAX_LENGTH)?;
            let id = name.strip_suffix(".pem").and_then(|id| id.parse::<Name>().ok());
            let Some(id) = id else {
                findings.push(Finding::new(
                    &relative,
                    0,
                    "this file is not expected here",
                    "only <id>.pem stands here",
                ));
                continue;
            };
            match self.chain(&raw, &CertificateName { jurisdiction, kind, id: id.clone() }) {
                Ok(chain) => self.certificates.insert((kind, id), chain).map_or((), drop),
                Err(what) => {
                    let suggestion = format!("run `casemate ca renew {kind} {id}`, or remove the file");
                    findings.push(Finding::new(&relative, 0, what, suggestion));
                }
            }
        }
        Ok(())
    }

    /// The certificates of `raw`, if they lead from one for `name` to an authority.
    fn chain(&self, raw: &[u8], name: &CertificateName) -> Result<Vec<Certificate>, String> {
        let blocks = pem::blocks(raw).unwrap_or_default();
        let chain: Option<Vec<_>> = blocks.iter().map(|(_, der)| Certificate::parse(der)).collect();
        let Some(chain) = chain.filter(|chain| !chain.is_empty()) else {
            return Err("this is no certificate in PEM".into());
        };
        if chain[0].name.as_ref() != Some(name) || chain[0].is_authority {
            return Err(format!("this is no certificate of {name}"));
        }
        let linked = chain.windows(2).all(|pair| pair[1].is_authority && pair[0].is_signed_by(&pair[1]));
        let anchored = chain.last().is_some_and(|last| self.authorities().any(|anchor| last.is_signed_by(anchor)));
        if linked && anchored { Ok(chain) } else { Err("no authority of this site has signed this".into()) }
    }

    /// A register that says more than the list is what an interrupted `ca revoke` leaves.
    fn check_revoked(&self, findings: &mut Findings) {
        let Some(crl) = &self.crl else { return };
        let mut revoked = self.register.revoked(crl.this_update);
        if let Some((entry, _)) = revoked.find(|(entry, _)| !crl.serials.contains(&entry.serial)) {
            let what = format!("{} {} is revoked in {} and not on this list", entry.kind, entry.id, register::FILE);
            findings.push(Finding::new(REVOKED, 0, what, "run `casemate ca crl`"));
        }
    }
}

fn read_authority(layout: &Layout, findings: &mut Findings) -> Result<Option<Certificate>, SiteError> {
    let Some(raw) = file::read_if_any(&layout.file(AUTHORITY), MAX_LENGTH)? else { return Ok(None) };
    let found = pem::or_der(CERTIFICATE, raw).and_then(|der| Certificate::parse(&der));
    let authority = found.filter(|found| found.is_authority);
    if authority.is_none() {
        findings.push(Finding::new(AUTHORITY, 0, "this is no authority's certificate", "restore it from its history"));
    }
    Ok(authority)
}

/// Files of a folder of the site, sorted.
fn names(layout: &Layout, relative: &str, findings: &mut Findings) -> Result<Vec<String>, SiteError> {
    let folder = layout.file(relative);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(FileError::read(&folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::read(&folder))?;
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') || name.ends_with('~') => {}
            Ok(name) => names.push(name),
            Err(_) => findings.push(Finding::new(relative, 0, "a file name is not UTF-8", "rename it")),
        }
    }
    names.sort();
    Ok(names)
}

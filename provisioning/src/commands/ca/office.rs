//! The authority at work: its folder, its key, and nobody else writing.

use std::path::{Path, PathBuf};

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::time::UtcTime;

use crate::authority::folder::{self, Folder, REVOKED, certificate_file};
use crate::authority::register::{self, Entry, Register};
use crate::authority::{AuthorityError, Certificate, Crl, Issuer, pem};
use crate::cli::Context;
use crate::exit::Failure;
use crate::file::{self, Audience};
use crate::output::Output;
use crate::repository::{Lock, Place};
use crate::site::Layout;
use crate::site::finding::{Finding, Findings};
use crate::site::settings::{self, Settings};

/// Where the authority's key is.
#[derive(Debug, clap::Args)]
pub(super) struct KeysArg {
    /// The folder of private keys; `<SITE>-keys` beside the site unless given
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl KeysArg {
    /// The folder.
    pub(super) fn folder(&self, layout: &Layout) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| layout.default_keys())
    }
}

/// The authority's folder, whatever stands in the rest of the site.
pub(super) struct Office {
    /// Where the site is.
    pub(super) layout: Layout,
    /// What holds for it.
    pub(super) settings: Settings,
    /// The folder.
    pub(super) folder: Folder,
    /// The time.
    pub(super) now: UtcTime,
    output: Output,
    _lock: Lock,
}

impl Office {
    /// Opens it.
    ///
    /// # Errors
    /// There is no authority, or what it wrote was changed.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        let layout = context.layout()?;
        let lock = Lock::take(&Place::new(layout.repository()))?;
        let settings = Settings::parse(&layout.text(settings::FILE)?)?;
        let mut findings = Findings::default();
        let folder = Folder::read(&layout, settings.jurisdiction, &mut findings)?;
        // These are what the commands here write anew.
        findings.retain(|finding: &Finding| finding.file != REVOKED && !finding.file.starts_with("ca/certificates/"));
        findings.none()?;
        let folder = folder.ok_or(AuthorityError::Absent)?;
        Ok(Self { layout, settings, folder, now: context.now, output: context.output, _lock: lock })
    }

    /// The authority with its key.
    ///
    /// # Errors
    /// The key is not there, or is another one.
    pub(super) fn issuer(&self, keys: &KeysArg) -> Result<Issuer, Failure> {
        Issuer::open(&self.folder.authority, &keys.folder(&self.layout))
    }

    /// The name a certificate for `kind` `id` has.
    pub(super) fn name(&self, kind: CertificateKind, id: &Name) -> CertificateName {
        CertificateName { jurisdiction: self.settings.jurisdiction, kind, id: id.clone() }
    }

    /// When a certificate of `kind` made now ends, after `days` if given.
    pub(super) fn end(&self, kind: CertificateKind, days: Option<u64>) -> UtcTime {
        self.now.plus_days(days.unwrap_or_else(|| self.settings.certificate_days(kind)))
    }

    /// Whether the key of digest `pin` may be certified for `name`.
    ///
    /// # Errors
    /// It is somebody else's now; or it was revoked, and is not certified all the same.
    pub(super) fn check_key(
        &self,
        pin: Digest,
        name: &CertificateName,
        even_if_revoked: bool,
    ) -> Result<(), AuthorityError> {
        let same_key = self.folder.register.0.iter().filter(|entry| entry.spki == pin);
        let is_other = |entry: &&Entry| (entry.kind, &entry.id) != (name.kind, &name.id);
        // A device enrolled anew under another name keeps its key: the old name is revoked, or has expired.
        if let Some(other) = same_key.clone().filter(is_other).find(|entry| entry.state(self.now) == "valid") {
            return Err(AuthorityError::KeyShared { kind: other.kind, id: other.id.clone() });
        }
        let revoked = same_key.filter_map(|entry| entry.revoked_at.map(|at| (at, entry))).next_back();
        match revoked.filter(|_| !even_if_revoked) {
            Some((at, entry)) => Err(AuthorityError::KeyRevoked { at, serial: entry.serial.clone() }),
            None => Ok(()),
        }
    }

    /// Keeps a certificate just issued, and says so.
    ///
    /// # Errors
    /// Writing fails.
    ///
    /// # Durability
    /// The register knows it before anybody can have it: what nobody knows nobody could revoke.
    pub(super) fn keep(&mut self, name: &CertificateName, made: &Certificate) -> Result<String, Failure> {
        self.folder.register.0.push(Entry {
            serial: made.serial.clone(),
            kind: name.kind,
            id: name.id.clone(),
            not_after: made.not_after,
            revoked_at: None,
            spki: made.spki,
        });
        self.write_register()?;
        let relative = certificate_file(name.kind, &name.id);
        let path = self.layout.file(&relative);
        file::create_folder(path.parent().unwrap_or(self.layout.root()))?;
        file::replace(&path, pem::encode(pem::CERTIFICATE, &made.der).as_bytes())?;
        let shown = path.display();
        self.output.say(format!("Certificate {shown} for {name}, until {}.", made.not_after));
        if name.kind == CertificateKind::Appliance {
            self.output.say(format!("{} gets it with the next bundle: plan, sign, pack.", name.id));
        }
        Ok(relative)
    }

    /// Writes the register.
    ///
    /// # Errors
    /// Writing fails.
    pub(super) fn write_register(&self) -> Result<(), Failure> {
        Ok(file::replace(&self.layout.file(register::FILE), self.folder.register.text().as_bytes())?)
    }

    /// Writes a new revocation list.
    ///
    /// # Errors
    /// Writing fails, or the list is too long.
    pub(super) fn write_crl(&self, issuer: &Issuer) -> Result<Crl, Failure> {
        let days = self.settings.transport.unwrap_or_default().crl_max_age_days;
        let crl = issuer.crl(&self.folder.register, self.folder.crl.as_ref(), self.now, days)?;
        file::replace(&self.layout.file(REVOKED), pem::encode(pem::CRL, &crl.der).as_bytes())?;
        Ok(crl)
    }
}

/// Puts a new authority in its place, its own certificate last: until then there is none.
///
/// # Errors
/// Writing fails.
pub(super) fn found(layout: &Layout, issuer: &Issuer, crl: &Crl) -> Result<(), Failure> {
    file::create_folder(&layout.file(folder::FOLDER))?;
    file::replace(&layout.file(REVOKED), pem::encode(pem::CRL, &crl.der).as_bytes())?;
    let register = layout.file(register::FILE);
    // One authority may follow another; what the first one issued stays known.
    if !register.exists() {
        file::replace(&register, Register::default().text().as_bytes())?;
    }
    let certificate = pem::encode(pem::CERTIFICATE, &issuer.authority.der);
    Ok(file::create(&layout.file(folder::AUTHORITY), certificate.as_bytes(), Audience::Everybody)?)
}

/// Whether `path` lies inside the site, where private keys never are.
pub(super) fn is_inside(layout: &Layout, path: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(layout.root()))
}

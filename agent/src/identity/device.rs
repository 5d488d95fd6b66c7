//! The device's three keys in their files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use casemate_protocol::device::enrolment::{DeviceKeys, EnrolmentRequest};
use casemate_protocol::evidence::health::HealthReport;
use casemate_protocol::evidence::receipt::Statement;
use casemate_protocol::keys::KeyDocument;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::sign::SigningKey;

use super::certificate_request::certificate_request;
use super::error::IdentityError;
use super::tls_key::TlsKey;

/// The keys' file names, in the order of [`DeviceKeys`].
const FILES: [&str; 3] = ["receipts.p8", "tls.p8", "unsealing.p8"];

/// The three private keys, one for each purpose.
///
/// Not `Debug`, not `Clone`, not `Serialize`: the keys can be used, not seen.
pub struct Identity {
    receipts: Ed25519KeyPair,
    tls: Arc<TlsKey>,
    public: DeviceKeys,
}

impl Identity {
    /// Reads the keys under `folder`, if there are any.
    ///
    /// # Errors
    /// A key is missing, malformed or readable by others: a half identity is never a new one.
    pub fn open(folder: &Path) -> Result<Option<Self>, IdentityError> {
        match fs::metadata(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::File { action: "open", path: folder.into(), source }),
            Ok(_) => {}
        }
        let [receipts, tls, unsealing] = FILES.map(|name| read(&folder.join(name)));
        let (receipts, tls, unsealing) = (receipts?, tls?, unsealing?);
        let public = DeviceKeys { receipts: document(&receipts), tls: document(&tls), unsealing: document(&unsealing) };
        Ok(Some(Self { receipts, tls: Arc::new(TlsKey::new(tls)), public }))
    }

    /// Makes three new keys under `folder`, which must not exist.
    ///
    /// # Durability
    /// When it returns, all three are on disk; after a crash before that, none is.
    ///
    /// # Errors
    /// The folder exists, cannot be written, or there are no random numbers.
    pub fn create(folder: &Path) -> Result<Self, IdentityError> {
        let fail = |action, path: &Path| {
            let path = path.to_owned();
            move |source| IdentityError::File { action, path, source }
        };
        let parent = folder.parent().unwrap_or(folder);
        let fresh = folder.with_extension("new");
        // What an earlier, interrupted attempt left was never used for anything.
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(fail("remove", &fresh))?;
        }
        DirBuilder::new().mode(0o700).create(&fresh).map_err(fail("create", &fresh))?;
        for name in FILES {
            let path = fresh.join(name);
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| IdentityError::Random)?;
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(&path).map_err(fail("create", &path))?;
            file.write_all(key.as_ref()).and_then(|()| file.sync_all()).map_err(fail("write", &path))?;
        }
        sync_folder(&fresh).map_err(fail("flush", &fresh))?;
        nix::fcntl::renameat2(
            nix::fcntl::AT_FDCWD,
            &fresh,
            nix::fcntl::AT_FDCWD,
            folder,
            nix::fcntl::RenameFlags::RENAME_NOREPLACE,
        )
        .map_err(|errno| fail("create", folder)(errno.into()))?;
        sync_folder(parent).map_err(fail("flush", parent))?;
        Self::open(folder)?.ok_or_else(|| IdentityError::Malformed(folder.into()))
    }

    /// The public keys.
    #[must_use]
    pub fn public(&self) -> &DeviceKeys {
        &self.public
    }

    /// An enrolment request for these keys.
    ///
    /// # Errors
    /// Never in practice: the request's content is ours.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let csr = certificate_request(self.tls.as_ref())?;
        Ok(EnrolmentRequest::new(self.public.clone(), Some(&csr), |message| self.sign(message))?.to_bytes()?)
    }

    /// A receipt in its envelope.
    ///
    /// # Errors
    /// Never in practice: the statement's content is ours.
    pub fn seal(&self, statement: &Statement) -> Result<Vec<u8>, IdentityError> {
        Ok(statement.seal(self.public.receipts.keyid(), |message| self.sign(message))?)
    }

    /// A health report in its envelope.
    ///
    /// # Errors
    /// Never in practice: the report's content is ours.
    pub fn seal_health(&self, report: &HealthReport) -> Result<Vec<u8>, IdentityError> {
        Ok(report.seal(self.public.receipts.keyid(), |message| self.sign(message))?)
    }

    /// What TLS proves with that this device speaks: it signs handshakes, and cannot be asked for the key.
    #[must_use]
    pub fn tls_key(&self) -> Arc<dyn SigningKey> {
        self.tls.clone()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.receipts.sign(message).as_ref().to_vec()
    }
}

fn document(pair: &Ed25519KeyPair) -> KeyDocument {
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    KeyDocument::ed25519(&public)
}

fn read(path: &Path) -> Result<Ed25519KeyPair, IdentityError> {
    let fail = |source| IdentityError::File { action: "read", path: path.into(), source };
    let mode = fs::symlink_metadata(path).map_err(fail)?.mode() & 0o7777;
    if mode != 0o600 {
        return Err(IdentityError::Mode { path: path.into(), mode });
    }
    let bytes = fs::read(path).map_err(fail)?;
    Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| IdentityError::Malformed(path.into()))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        assert!(Identity::open(&path).unwrap().is_none());
        let made = Identity::create(&path).unwrap();
        let read = Identity::open(&path).unwrap().unwrap();
        assert_eq!(made.public(), read.public());
        assert!(matches!(Identity::create(&path), Err(IdentityError::File { action: "create", .. })));
        assert_eq!(Identity::open(&path).unwrap().unwrap().public(), made.public());
    }

    #[test]
    fn the_request_verifies_and_names_these_keys() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::create(&folder.path().join("identity")).unwrap();
        let request = EnrolmentRequest::parse(&identity.request().unwrap()).unwrap();
        assert_eq!(request.keys(), identity.public());
        assert!(request.request.csr.is_some());
    }

    #[test]
    fn two_devices_share_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| Identity::create(&folder.path().join(name)).unwrap());
        assert_ne!(a.public().fingerprint(), b.public().fingerprint());
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_torn_or_missing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        Identity::create(&path).unwrap();
        let key = path.join("tls.p8");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Identity::open(&path), Err(IdentityError::Mode { mode: 0o640, .. })));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let bytes = fs::read(&key).unwrap();
        fs::write(&key, &bytes[..40]).unwrap();
        assert!(matches!(Identity::open(&path), Err(IdentityError::Malformed(_))));
        fs::remove_file(&key).unwrap();
        assert!(Identity::open(&path).is_err());
    }

    #[test]
    fn an_interrupted_attempt_leaves_no_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        fs::create_dir(path.with_extension("new")).unwrap();
        fs::write(path.with_extension("new").join("receipts.p8"), b"half").unwrap();
        assert!(Identity::open(&path).unwrap().is_none());
        Identity::create(&path).unwrap();
    }
}

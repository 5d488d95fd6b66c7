//! A private key in a file: PKCS#8 Ed25519 in PEM, readable by its owner alone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::encoding;
use casemate_protocol::keys::{KeyDocument, KeyId};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use thiserror::Error;

use crate::file::{self, Audience, FileError};

/// Longest key file read, bytes.
const MAX_LENGTH: u64 = 16 * 1024;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A key file that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// Cannot be opened or read.
    #[error("{} cannot be read for keys", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {} has mode {mode:04o}: others than its owner may read it", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Holds the other half.
    #[error("{} is a public key; signing needs the private one", .0.display())]
    Public(PathBuf),
    /// Not PEM of a PKCS#8 Ed25519 key.
    #[error("{} holds no PKCS#8 Ed25519 private key in PEM", .0.display())]
    Malformed(PathBuf),
    /// Not PEM of a PKCS#8 key certificates are made with.
    #[error("{} holds no PKCS#8 Ed25519 or P-256 private key in PEM", .0.display())]
    NoCertificateKey(PathBuf),
    /// The system gave no randomness.
    #[error("the system's random generator failed")]
    Random,
    /// The file cannot be written.
    #[error("the key cannot be stored")]
    File(#[from] FileError),
}

impl Explain for KeyError {
    fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Random => Code::Internal,
            _ => Code::KeyInvalid,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Exposed { path, .. } => format!(
                "Run `chmod 600 {}`; if somebody else may have read it, make a new key and a new root.",
                path.display()
            ),
            Self::Public(path) => {
                format!("Give the private key's file; beside {} it has no .pub at its end.", path.display())
            }
            Self::File(error) => error.remedy(),
            other => other.code().remedy().into(),
        }
    }
}

/// A private key read from a file, or just made.
pub(crate) struct FileKey {
    pair: Ed25519KeyPair,
    document: KeyDocument,
    keyid: KeyId,
}

impl std::fmt::Debug for FileKey {
    /// The key id alone: a private key is never printed (R23).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileKey({})", self.keyid)
    }
}

impl FileKey {
    /// Makes a key, `path` for the private half and `path` + `.pub` for the public one.
    ///
    /// # Errors
    /// One of the files exists, or writing fails.
    ///
    /// # Durability
    /// Both files are on disk when this returns.
    pub(crate) fn make(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let key = Self::from_pkcs8(pkcs8.as_ref()).ok_or_else(|| KeyError::Malformed(path.to_owned()))?;
        write_pkcs8(path, pkcs8.as_ref())?;
        let public = json!({
            "keytype": key.document.keytype, "scheme": key.document.scheme,
            "keyval": { "public": key.document.keyval.public },
        });
        let public = format!("{public:#}\n");
        file::create(&public_path(path), public.as_bytes(), Audience::Everybody).inspect_err(|_| {
            // Half a pair is nobody's key.
            let _ = fs::remove_file(path);
        })?;
        Ok(key)
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// Unreadable, readable by group or others, or no such key.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 = read_pkcs8(path)?;
        pkcs8.as_deref().and_then(Self::from_pkcs8).ok_or_else(|| KeyError::Malformed(path.to_owned()))
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // OpenSSL writes version 1, without the public half.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let document = KeyDocument::ed25519(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, keyid: document.keyid(), document })
    }

    /// The public half.
    pub(crate) fn document(&self) -> &KeyDocument {
        &self.document
    }

    /// The public half's name.
    pub(crate) fn keyid(&self) -> &KeyId {
        &self.keyid
    }

    /// A signature over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Where the public half of `path` stands.
pub(crate) fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Makes a private key's file.
///
/// # Errors
/// It exists, or writing fails.
pub(super) fn write_pkcs8(path: &Path, pkcs8: &[u8]) -> Result<(), FileError> {
    let text = encoding::to_base64(pkcs8);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"));
    file::create(path, pem.as_bytes(), Audience::Owner)
}

/// What a private key's file holds; none if that is no PEM of a private key.
///
/// # Errors
/// Unreadable, readable by group or others, or a public key.
pub(super) fn read_pkcs8(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    // Of the opened file, not of the path: nobody can swap one for the other in between.
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    let mut raw = Vec::new();
    (&mut file).take(MAX_LENGTH).read_to_end(&mut raw).map_err(unreadable)?;
    if serde_json::from_slice::<KeyDocument>(&raw).is_ok() {
        // Anybody may read that one: to lock it away would help nobody.
        return Err(KeyError::Public(path.to_owned()));
    }
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    Ok(decode_pem(&String::from_utf8_lossy(&raw)))
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let (body, rest) = text.trim().strip_prefix(BEGIN)?.split_once(END)?;
    let joined: String = body.split_whitespace().collect();
    if rest.is_empty() { encoding::from_base64(&joined).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anna.key");
        let made = FileKey::make(&path).unwrap();
        let read = FileKey::read(&path).unwrap();
        assert_eq!(made.keyid(), read.keyid());
        assert_eq!(made.sign(b"x"), read.sign(b"x"));
        assert!(fs::read_to_string(public_path(&path)).unwrap().contains(&read.document().keyval.public));
        assert!(matches!(FileKey::make(&path), Err(KeyError::File(FileError::Exists(_)))));
        assert_eq!(format!("{read:?}"), format!("FileKey({})", read.keyid()));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anna.key");
        FileKey::make(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = FileKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Exposed { .. }), "{mode:o}");
            assert_eq!(error.code(), Code::KeyInvalid);
        }
    }

    #[test]
    fn the_public_half_is_named_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anna.key");
        FileKey::make(&path).unwrap();
        let error = FileKey::read(&public_path(&path)).unwrap_err();
        assert!(matches!(error, KeyError::Public(_)), "{error}");
        assert!(!error.remedy().contains("chmod"));
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        // RFC 8410 §10.3, the first example.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let pem = format!("{BEGIN}\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n{END}\n");
        file::create(&path, pem.as_bytes(), Audience::Owner).unwrap();
        let key = FileKey::read(&path).unwrap();
        assert_eq!(key.document().keyval.public, "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
    }
}

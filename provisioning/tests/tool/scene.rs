//! A folder, the program, and appliances that ask to join.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use casemate_protocol::device::enrolment::{DeviceKeys, EnrolmentRequest};
use casemate_protocol::keys::KeyDocument;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;

/// What a run of the program gave back.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The run failed with this code and said what to do.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str) -> &Self {
        assert_ne!(self.exit, 0, "{self:?}");
        assert!(self.stderr.contains(&format!("({code})")), "expected {code}: {}", self.stderr);
        assert!(self.stderr.contains("to do: "), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text) || self.stdout.contains(text), "{text:?} not in {self:?}");
        self
    }
}

/// The time every scene starts at.
pub(crate) const NOW: &str = "2026-03-01T12:00:00Z";

pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) now: String,
}

impl Scene {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), now: NOW.into() }
    }

    /// A demo site with its starter group.
    pub(crate) fn demo() -> Self {
        let scene = Self::empty();
        scene.ok(&["init", "site", "--jurisdiction", "LU", "--demo"]);
        scene
    }

    /// A site of two persons, anna and bob, both of whom must sign.
    pub(crate) fn two_persons() -> Self {
        let scene = Self::empty();
        scene.ok(&["init", "site", "--jurisdiction", "LU", "--person", "anna", "--person", "bob"]);
        scene
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_casemate"));
        command.current_dir(self.root()).args(["--now", &self.now]).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { exit: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.exit, 0, "{args:?}: {run:?}");
        run
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Replaces text in a file that must hold it.
    #[track_caller]
    pub(crate) fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = self.read(relative);
        assert!(text.contains(from), "{from:?} not in {text}");
        self.write(relative, &text.replace(from, to));
    }

    /// Names in a folder, sorted.
    pub(crate) fn list(&self, relative: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(relative)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The request of an appliance whose keys come from `seed`.
    pub(crate) fn request(&self, id: &str, seed: u8) -> String {
        let file = format!("{id}.req");
        fs::write(self.path(&file), request(seed)).unwrap();
        file
    }

    /// Enrols and confirms an appliance; its keys come from `seed`.
    pub(crate) fn appliance(&self, id: &str, seed: u8, group: &str) {
        let file = self.request(id, seed);
        let words = self.ok(&["--json", "appliance", "enrol", &file, "--group", group]).json()["words"].clone();
        self.ok(&["appliance", "confirm", id, "--words", words.as_str().unwrap()]);
    }

    /// Plans and signs with the keys at hand.
    #[track_caller]
    pub(crate) fn publish(&self) {
        self.ok(&["plan"]);
        self.ok(&["sign"]);
    }
}

/// A device's private keys: receipts, tls, unsealing.
pub(crate) fn device_keys(seed: u8) -> [Ed25519KeyPair; 3] {
    [0, 1, 2].map(|index| Ed25519KeyPair::from_seed_unchecked(&[seed.wrapping_mul(3) + index; 32]).unwrap())
}

pub(crate) fn public(pair: &Ed25519KeyPair) -> KeyDocument {
    KeyDocument::ed25519(pair.public_key().as_ref().try_into().unwrap())
}

pub(crate) fn public_keys(seed: u8) -> DeviceKeys {
    let [receipts, tls, unsealing] = device_keys(seed).map(|pair| public(&pair));
    DeviceKeys { receipts, tls, unsealing }
}

/// An enrolment request with a certificate request by the TLS key.
pub(crate) fn request(seed: u8) -> Vec<u8> {
    let [_, tls, _] = device_keys(seed);
    request_with(seed, Some(&certificate_request(tls)))
}

/// An enrolment request with the certificate request `csr`.
pub(crate) fn request_with(seed: u8, csr: Option<&[u8]>) -> Vec<u8> {
    let [receipts, ..] = device_keys(seed);
    let request = EnrolmentRequest::new(public_keys(seed), csr, |message| receipts.sign(message).as_ref().to_vec());
    request.unwrap().to_bytes().unwrap()
}

/// PKCS#10 with an empty subject.
pub(crate) fn certificate_request(pair: Ed25519KeyPair) -> Vec<u8> {
    struct Key(Ed25519KeyPair);
    impl rcgen::PublicKeyData for Key {
        fn der_bytes(&self) -> &[u8] {
            self.0.public_key().as_ref()
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_ED25519
        }
    }
    impl rcgen::SigningKey for Key {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            Ok(self.0.sign(message).as_ref().to_vec())
        }
    }
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(&Key(pair)).unwrap().der().to_vec()
}

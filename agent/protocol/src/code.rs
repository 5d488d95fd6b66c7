//! Every outcome code: the same word stands in the CLI, the receipt, the journal and the health report.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How grave an outcome is; also the process exit code of the commands that end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Done, or nothing to do.
    Done,
    /// The input is not acceptable; nothing changed.
    Refused,
    /// The command line or a file an operator wrote is wrong.
    Usage,
    /// The environment failed: disk, permission, another process.
    Environment,
    /// The state is damaged; changes are refused until a stated recovery.
    Damaged,
}

macro_rules! codes {
    ($($variant:ident = $text:literal, $class:ident, $meaning:literal, $remedy:literal;)+) => {
        /// An outcome. Codes are never renamed and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table in `docs/codes.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What happened, one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What to do about it, one sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }

            /// How grave it is.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }
        }
    };
}

codes! {
    // outcomes
    Applied = "applied", Done, "The generation is current.", "Nothing to do.";
    AlreadyApplied = "already-applied", Done, "Every addressed owner already stands at this version.", "Nothing to do.";
    Superseded = "superseded", Done, "A newer bundle for this appliance was applied instead.", "Nothing to do; take the older bundle off the stick.";
    Removed = "removed", Done, "The owner left the assignment and its configuration was taken away.", "Nothing to do.";
    Waiting = "waiting", Done, "The generation is staged and waits for its maintenance window.", "Nothing to do; `casemate-agent status` says when the window opens.";
    Probation = "probation", Done, "What arrived is in force and on trial: consumers, probes or required peers have to confirm it before the deadline.", "Nothing to do; the receipt follows.";
    ConsumerFailed = "consumer-failed", Refused, "A consumer reported that it cannot work with the generation; the previous one is current again.", "`casemate-agent status` names the consumer and its reason; correct the content and sign it again.";
    ConsumerSilent = "consumer-silent", Refused, "A required consumer did not report before the deadline; the previous generation is current again.", "Check that the consumer named by `casemate-agent status` runs and follows the agent; then sign the content again.";
    ProbeFailed = "probe-failed", Refused, "A declared probe did not hold before the deadline; the previous generation is current again.", "Check what the probe asks on the appliance; correct the content and sign it again.";
    ProbationInterrupted = "probation-interrupted", Refused, "The appliance restarted too often while the generation was on trial; the previous one is current again.", "Find out why it restarts; then sign the content again.";
    FailedBefore = "failed-before", Refused, "This very content failed on this appliance before and is not tried again.", "Correct it, or sign it again as a new version to have it tried once more.";
    NotAwaited = "not-awaited", Refused, "Nobody waits for this consumer's report on this generation.", "Report on the generation that `/v1/tree` shows in probation, under a name its manifest declares.";
    NotAddressed = "not-addressed", Refused, "The bundle holds no assignment for this appliance.", "Pack a bundle for this appliance, or check that its enrolment was confirmed.";
    // archive
    ArchiveMalformed = "archive-malformed", Refused, "The file is not a well-formed bundle archive.", "Copy the bundle again; if it fails again, pack it again.";
    ArchiveTruncated = "archive-truncated", Refused, "The file ends before the bundle does.", "Copy the bundle again; the stick was pulled out or is full.";
    ArchiveTrailing = "archive-trailing", Refused, "Bytes follow the end of the bundle.", "Use the file as packed; do not join or append files.";
    MemberUnexpected = "member-unexpected", Refused, "The archive holds a member that no signed metadata lists, or holds it out of order or twice.", "Pack the bundle with `casemate pack`; nobody may edit it afterwards.";
    ObjectMismatch = "object-mismatch", Refused, "A file's content is not what the signed metadata says.", "Copy the bundle again; if it fails again, treat the carrier as tampered with.";
    Missing = "missing", Refused, "A file the bundle needs is neither in it nor on the appliance.", "Pack a complete bundle, or put the stick that holds the rest in as well.";
    TooLarge = "too-large", Refused, "Something is larger or more numerous than the stated limit.", "See docs/format.md for the limits; split what is too large.";
    // metadata
    MetadataMalformed = "metadata-malformed", Refused, "Signed metadata is not strict JSON of the expected shape.", "Sign and pack again with a current `casemate`.";
    MetadataUnsigned = "metadata-unsigned", Refused, "Too few trusted keys or persons have signed the metadata.", "Have the missing persons sign, or check that the appliance belongs to this site.";
    MetadataRollback = "metadata-rollback", Refused, "The metadata is older than what this appliance has already accepted.", "An older stick after a newer one is refused on purpose; to go back, sign the old content again as a new version.";
    MetadataMixed = "metadata-mixed", Refused, "The metadata files do not belong together.", "Pack the bundle again from one repository state.";
    MetadataForked = "metadata-forked", Refused, "Two different signed documents claim the same version.", "Find out who signed twice; then sign the wanted content again as a new version.";
    MetadataExpired = "metadata-expired", Refused, "The metadata has expired and is not newly applied; what runs keeps running.", "Sign and pack again; check the appliance's clock if the bundle is fresh.";
    RootBroken = "root-broken", Refused, "The chain of root versions has a gap, a fork or too many links.", "Pack a bundle with every root since the appliance's own.";
    ProfileViolation = "profile-violation", Refused, "The metadata breaks a rule of the Casemate profile.", "See docs/format.md, profile; sign again with a current `casemate`.";
    SignedAheadOfRoot = "signed-ahead-of-root", Refused, "The timestamp claims a signing time beyond its root's expiry.", "Check the signing machine's clock and sign again.";
    // manifest and addressing
    AssignmentInvalid = "assignment-invalid", Refused, "The assignment is malformed or for another device.", "Enrol the appliance again, or pack again with a current `casemate`.";
    JurisdictionMismatch = "jurisdiction-mismatch", Refused, "The bundle's jurisdiction is not the appliance's.", "Use the site that governs this appliance.";
    ManifestInvalid = "manifest-invalid", Refused, "An owner's manifest is malformed or contradicts its signed targets.", "Have the owner plan and sign again with a current `casemate`.";
    UnsupportedManifest = "unsupported-manifest", Refused, "The manifest asks for something this version cannot do.", "Update the agent first, or remove what the message names from the bundle.";
    OwnerUnverified = "owner-unverified", Refused, "The owner's role does not verify; the other owners are not affected.", "Have this owner sign again.";
    // enrolment
    NotEnrolled = "not-enrolled", Refused, "The appliance has no confirmed enrolment.", "Run `casemate-agent enrol request`, then `enrol accept` with the grant.";
    AlreadyEnrolled = "already-enrolled", Refused, "The appliance is enrolled already.", "To enrol again, move the state folder away first: docs/recovery.md says how.";
    EnrolmentInvalid = "enrolment-invalid", Refused, "The request or grant is malformed, or not the answer to this appliance's request.", "Make a new request and grant.";
    WordsDiffer = "words-differ", Refused, "The words are not the ones computed here: a file was swapped or mistyped.", "Compare again; if they truly differ, somebody changed a file on the way. Stop and report it.";
    // receipts
    ReceiptInvalid = "receipt-invalid", Refused, "The receipt is malformed or not signed by this appliance's enrolled key.", "Fetch the receipt again; if it fails again, report it.";
    // site and repository
    SiteInvalid = "site-invalid", Usage, "A file of the site folder is wrong.", "Correct the line the message names.";
    PlanStale = "plan-stale", Usage, "The site, the repository or the plan changed after the plan was made.", "Run `casemate plan` again and show it to the signers.";
    RequestDiffers = "request-differs", Refused, "A signing request asks for something else than the signer's own site folder gives.", "Bring your site folder and its repository up to date and try again; if they still differ, do not sign and ask whoever made the request.";
    PlanMissing = "plan-missing", Usage, "There is no plan to sign.", "Run `casemate plan` first.";
    NothingToDo = "nothing-to-do", Done, "Nothing differs from the last signed state.", "Nothing to do.";
    NotSigned = "not-signed", Usage, "There is nothing signed yet to check or pack.", "Run `casemate plan` and `casemate sign` first.";
    SignersMissing = "signers-missing", Usage, "Too few keys are at hand to meet the roles' thresholds.", "Add the other persons' signatures: `casemate sign request`, `add`, `finish`.";
    KeyInvalid = "key-invalid", Usage, "A key file is missing, malformed or readable by others.", "Check the path and its permissions (0600).";
    UnknownAppliance = "unknown-appliance", Usage, "The site knows no such appliance.", "Check the id against appliances.csv.";
    Exists = "exists", Usage, "The thing to be made exists already.", "Choose another name, or remove it first.";
    // boundary
    BoundaryInvalid = "boundary-invalid", Refused, "A boundary document breaks a rule.", "Correct the entry the message names and sign it again; `casemate boundary check` finds it beforehand.";
    BoundaryWider = "boundary-wider", Refused, "A boundary document goes beyond what the one above it allows.", "Narrow the entry the message names; a wider envelope takes a new root, which no command makes yet (docs/site.md).";
    BoundaryUnreached = "boundary-unreached", Refused, "A wider boundary was tried and a required peer was not reached; what the old and the new one share is in force.", "Check the peer and the way to it, and that the unit's IPAddressAllow= names it (the enforcer sees to that); then sign the boundary again as a new version.";
    BoundaryNotEnforced = "boundary-not-enforced", Environment, "The kernel does not enforce the boundary on this machine.", "Start casemate-boundary.service; or say `enforcement = \"process-only\"` in agent.toml if this machine is guarded otherwise.";
    BoundaryDiffers = "boundary-differs", Environment, "The kernel enforces another boundary than the agent was given.", "`casemate-agent boundary show` names both; `systemctl status casemate-boundary` says why the newer one was refused.";
    BoundaryObserved = "boundary-observed", Done, "The boundary is observed for a time, not enforced.", "Sign a boundary without `observe_until` once the site has moved in.";
    BoundaryAttempts = "boundary-attempts", Done, "Something on this machine tried to go beyond the boundary and was stopped.", "`casemate-agent boundary show` names unit and destination.";
    KernelTooOld = "kernel-too-old", Environment, "The kernel lacks a layer the boundary needs.", "Use Linux 6.1 or newer with Landlock, seccomp and nftables.";
    // transports
    TransportInvalid = "transport-invalid", Refused, "The certificates, authorities or revocation lists signed for this appliance cannot be used.", "Correct what the message names with `casemate ca`, then plan, sign and bring a bundle; sticks work meanwhile.";
    PeerUnreached = "peer-unreached", Environment, "A peer of the boundary does not answer.", "Check the peer, the way to it, and that it listens at the address the boundary names.";
    PeerUntrusted = "peer-untrusted", Refused, "Who answers at a peer's address does not hold the key the boundary pins, or its certificate is revoked.", "Find out who answers there. If the peer changed its key, sign a boundary with the new pin.";
    PeerMisbehaved = "peer-misbehaved", Refused, "A peer broke the protocol, or sent more than it may.", "Check the peer's configuration; what it sent was thrown away.";
    RedirectIgnored = "redirect-ignored", Done, "A peer tried to send the appliance elsewhere; it did not go.", "Remove redirects, Alt-Svc and Server References from the peer's configuration: addresses stand in the boundary alone.";
    ControlPlaneUnreached = "control-plane-unreached", Refused, "No authenticated round trip with the control plane succeeded before the deadline; the previous generation is current again.", "Check the peer and the way to it; then sign the content again as a new version.";
    CertificateRefused = "certificate-refused", Refused, "A certificate is expired, revoked, of another jurisdiction, or not for this.", "Issue another one with `casemate ca issue`.";
    CertificateExpired = "certificate-expired", Done, "This appliance's certificate has expired or is about to; bundles by stick are not affected.", "Renew it with `casemate ca renew`, then plan, sign and bring a bundle.";
    CrlStale = "crl-stale", Done, "A revocation list is older than the site allows.", "Write a new one with `casemate ca crl`, then plan, sign and bring a bundle.";
    AuthorityInvalid = "authority-invalid", Usage, "The certificate authority's files are missing, or contradict each other.", "Check the folder the message names; `casemate ca init` makes a new authority.";
    UploadConflict = "upload-conflict", Refused, "The upload does not go on where it was left, or is another one.", "Ask for its offset with HEAD and go on from there.";
    // command line, configuration, environment
    UsageInvalid = "usage-invalid", Usage, "The command line is wrong.", "See --help.";
    ConfigInvalid = "config-invalid", Usage, "The configuration file is wrong.", "Correct the line the message names.";
    NotFound = "not-found", Usage, "There is no such route, file, owner or receipt.", "Check the name; `GET /v1/tree`, `/v1/receipts` and `/v1/openapi.json` list what there is.";
    NotPermitted = "not-permitted", Refused, "This socket is not for that.", "Use the socket of the role that may: see docs/api.md.";
    InputUnreadable = "input-unreadable", Environment, "The input cannot be read.", "Check the path, its permissions and the medium.";
    InputChanged = "input-changed", Refused, "The input changed while it was being read.", "Copy the bundle to a quiet place and import it again.";
    DiskFull = "disk-full", Environment, "There is not enough free space.", "Free the stated number of bytes and try again; nothing was changed.";
    StateUnavailable = "state-unavailable", Environment, "The state folder cannot be used.", "Check that the path exists, belongs to the right user and is writable.";
    StateBusy = "state-busy", Environment, "Another process owns the state folder.", "Use the running agent's socket, or stop the other process.";
    WrongUser = "wrong-user", Environment, "The command runs as another user than the state folder's owner.", "Run it as that user: root-owned files would lock the agent out.";
    AgentUnreachable = "agent-unreachable", Environment, "The agent's socket does not answer.", "Check that the agent runs and that you may use its socket.";
    SlotsUnavailable = "slots-unavailable", Environment, "The firmware slots cannot be told apart, read or written.", "Check the firmware service's configuration and that RAUC runs; see images/firmware/README.md.";
    IntakeFailed = "intake-failed", Environment, "The sandboxed reader died or could not start.", "Try again; if it fails again, report the bundle: it may be hostile.";
    StateDamaged = "state-damaged", Damaged, "The journal or a checkpoint is damaged.", "Keep the folder; see docs/recovery.md before changing anything.";
    // health reasons
    ClockUntrusted = "clock-untrusted", Done, "The wall clock contradicts signed time; expiry is judged by signed time.", "Set the clock; while it is wrong, an expired bundle may be taken for fresh.";
    Stale = "stale", Done, "Nothing new was accepted for longer than the site allows.", "Bring a current bundle.";
    Demo = "demo", Done, "The root allows one person to do everything.", "Use a root without `demo` outside demonstrations.";
    Overload = "overload", Environment, "Too many requests at once.", "Try again.";
    Internal = "internal", Environment, "Something failed that should not.", "Report it with the journal.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| UnknownCode(text.into()))
    }
}

/// A text that is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no outcome code")]
pub struct UnknownCode(String);

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What every operator-facing error says beside its `Display`.
pub trait Explain: std::error::Error {
    /// The stable code.
    fn code(&self) -> Code;

    /// What to do; the code's own remedy unless the error knows better.
    fn remedy(&self) -> String {
        self.code().remedy().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_hyphenated_words_and_stand_once() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{text}");
            assert!(seen.insert(text), "{text} twice");
            assert_eq!(text.parse(), Ok(*code));
        }
    }
}

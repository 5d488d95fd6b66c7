//! RAUC's `LastError`, as a word. RAUC has no codes on the bus: its texts, and D-Bus errors' texts, are all there is.
//! The fragments below stand in RAUC 1.8 (Debian 12) and 1.15 alike unless noted.

use crate::reason::Reason;

/// Fragment of the text, and the word for it; the first that fits counts.
const WORDS: [(&str, Reason); 19] = [
    ("No space left", Reason::DiskFull),
    ("Compatible mismatch", Reason::CompatibleMismatch),
    // since 1.12
    ("Version mismatch", Reason::VersionTooOld),
    ("is too small for image", Reason::SlotTooSmall),
    ("does not fit to slot size", Reason::SlotTooSmall),
    ("Bundle rejected", Reason::RejectedByHook),
    ("hook failed", Reason::RejectedByHook),
    ("handler error", Reason::RejectedByHook),
    ("Bundle format '", Reason::FormatNotAllowed),
    // Before the signature words: a damaged payload's text may quote OpenSSL.
    ("payload is corrupted", Reason::BundleMalformed),
    ("Invalid bundle format", Reason::BundleMalformed),
    ("ignature size", Reason::BundleMalformed),
    ("no valid CMS", Reason::BundleMalformed),
    ("Payload size", Reason::BundleMalformed),
    ("Failed mounting bundle", Reason::BundleMalformed),
    ("signature verification failed", Reason::SignatureInvalid),
    ("Failed to verify X509 cert", Reason::SignatureInvalid),
    ("No signature CN", Reason::SignatureInvalid),
    ("Failed marking slot", Reason::NotMarked),
];

/// The word for `text`.
pub(super) fn reason(text: &str) -> Reason {
    WORDS.iter().find(|(fragment, _)| text.contains(fragment)).map_or(Reason::InstallFailed, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_rauc_become_words() {
        for (text, expected) in [
            (
                "signature verification failed: certificate verify error: self-signed certificate",
                Reason::SignatureInvalid,
            ),
            (
                "Installation error: Compatible mismatch: Expected 'a' but bundle manifest has 'b'",
                Reason::CompatibleMismatch,
            ),
            (
                "Installation error: Failed updating slot rootfs.1: Slot (10 bytes) is too small for image (20 bytes).",
                Reason::SlotTooSmall,
            ),
            ("Signature size (72340172838076673) exceeds bundle size", Reason::BundleMalformed),
            ("Bundle format 'plain' not allowed", Reason::FormatNotAllowed),
            ("Installation error: Bundle rejected: Hook returned: too old", Reason::RejectedByHook),
            ("something nobody has seen", Reason::InstallFailed),
        ] {
            assert_eq!(reason(text), expected, "{text}");
        }
    }
}

//! PEM (RFC 7468).

use casemate_protocol::encoding;
use x509_parser::pem::Pem;

/// Label of a certificate.
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// Label of a revocation list.
pub(crate) const CRL: &str = "X509 CRL";
/// Label of a certificate request.
pub(crate) const REQUEST: &str = "CERTIFICATE REQUEST";

/// DER as PEM.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let text = encoding::to_base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Label and DER of every block; none if one of them is broken.
pub(crate) fn blocks(raw: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    Pem::iter_from_buffer(raw).map(|block| block.ok().map(|block| (block.label, block.contents))).collect()
}

/// The DER of the first block of `label`, or `raw` itself if it is no PEM.
pub(crate) fn or_der(label: &str, raw: Vec<u8>) -> Option<Vec<u8>> {
    if raw.first() == Some(&0x30) {
        return Some(raw);
    }
    blocks(&raw)?.into_iter().find(|(found, _)| found == label).map(|(_, der)| der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_block_by_block() {
        let text = encode(CERTIFICATE, &[7; 100]) + "a comment\n" + &encode(CRL, &[1]);
        let found = blocks(text.as_bytes()).unwrap();
        assert_eq!(found, [(CERTIFICATE.to_owned(), vec![7; 100]), (CRL.to_owned(), vec![1])]);
        assert_eq!(or_der(CRL, text.into_bytes()).unwrap(), [1]);
        assert_eq!(or_der(CRL, vec![0x30, 0]).unwrap(), [0x30, 0]);
    }

    #[test]
    fn a_broken_block_is_no_block() {
        assert!(blocks(b"-----BEGIN CERTIFICATE-----\nAA\n").is_none());
        assert!(or_der(CERTIFICATE, b"nothing".to_vec()).is_none());
    }
}

//! The few lines of DER a SubjectPublicKeyInfo needs.
//!
//! Strict: definite lengths in the shortest form, the expected tags and nothing else, nothing after the value. One key
//! has one encoding, so that the same key cannot appear as two.

/// 1.2.840.10045.2.1, `id-ecPublicKey` (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7, `secp256r1` (RFC 5480 §2.1.1.1).
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.2.840.113549.1.1.1, `rsaEncryption` (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Takes one value of `tag` off the front of `input`.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let shortest = match first {
        0x81 => length >= 0x80,
        0x82 => length >= 0x100,
        _ => true,
    };
    if found != tag || !shortest || length > rest.len() {
        return None;
    }
    let (value, rest) = rest.split_at(length);
    *input = rest;
    Some(value)
}

/// As [`take`], and nothing may follow.
fn only(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    let value = take(&mut input, tag)?;
    input.is_empty().then_some(value)
}

/// A SubjectPublicKeyInfo's algorithm identifier and key bits.
fn subject_public_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = only(spki, SEQUENCE)?;
    let algorithm = take(&mut info, SEQUENCE)?;
    // The first content byte of a bit string counts unused bits: keys have none.
    let bits = only(info, BIT_STRING)?.strip_prefix(&[0])?;
    Some((algorithm, bits))
}

/// The uncompressed P-256 point of a SubjectPublicKeyInfo: 65 bytes from `0x04` on.
pub(super) fn p256_point(spki: &[u8]) -> Option<&[u8]> {
    let (mut algorithm, point) = subject_public_key(spki)?;
    let fits = take(&mut algorithm, OBJECT_IDENTIFIER)? == EC_PUBLIC_KEY
        && only(algorithm, OBJECT_IDENTIFIER)? == P256
        && point.len() == 65
        && point.first() == Some(&4);
    fits.then_some(point)
}

/// The `RSAPublicKey` (RFC 8017 §A.1.1) of a SubjectPublicKeyInfo: two positive integers in the shortest form.
pub(super) fn rsa_public_key(spki: &[u8]) -> Option<&[u8]> {
    let (mut algorithm, key) = subject_public_key(spki)?;
    let named = take(&mut algorithm, OBJECT_IDENTIFIER)? == RSA_ENCRYPTION && only(algorithm, NULL)?.is_empty();
    let mut numbers = only(key, SEQUENCE)?;
    let modulus = take(&mut numbers, INTEGER)?;
    let exponent = only(numbers, INTEGER)?;
    (named && is_positive(modulus) && is_positive(exponent)).then_some(key)
}

/// A positive integer without superfluous leading bytes.
fn is_positive(integer: &[u8]) -> bool {
    match integer {
        [0, next, ..] => *next >= 0x80,
        [first, ..] => (1..0x80).contains(first),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p256_spki() -> Vec<u8> {
        let head = [&[0x30, 0x59, 0x30, 0x13, 0x06, 0x07][..], EC_PUBLIC_KEY, &[0x06, 0x08], P256].concat();
        [&head[..], &[0x03, 0x42, 0x00, 0x04], &[7; 64]].concat()
    }

    #[test]
    fn a_p256_key_has_one_encoding() {
        let good = p256_spki();
        assert_eq!(p256_point(&good).unwrap().len(), 65);
        let trailing = [&good[..], &[0]].concat();
        let long_form = [&[0x30, 0x81, 0x59], &good[2..]].concat();
        let indefinite = [&[0x30, 0x80], &good[2..], &[0, 0]].concat();
        let truncated = good[..good.len() - 1].to_vec();
        for bad in [trailing, long_form, indefinite, truncated, Vec::new()] {
            assert!(p256_point(&bad).is_none(), "{bad:x?}");
        }
    }

    #[test]
    fn every_changed_header_byte_is_noticed() {
        let good = p256_spki();
        for position in 0..27 {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert!(p256_point(&bad).is_none(), "byte {position}");
        }
    }

    #[test]
    fn a_key_of_one_kind_is_not_read_as_another() {
        assert!(rsa_public_key(&p256_spki()).is_none());
    }

    #[test]
    fn integers_are_positive_and_shortest() {
        assert!(is_positive(&[1]) && is_positive(&[0, 0x80]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80]] {
            assert!(!is_positive(bad), "{bad:x?}");
        }
    }
}

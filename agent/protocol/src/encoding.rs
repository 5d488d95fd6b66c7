//! Hexadecimal, base64 and proquint words.

use thiserror::Error;

/// Why a text is not the encoding it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// A character outside the alphabet, or padding where none may stand.
    #[error("character {position} is not part of the encoding")]
    Character {
        /// Byte offset of the character.
        position: usize,
    },
    /// The text encodes another number of bytes than expected.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes wanted.
        expected: usize,
        /// Bytes present.
        found: usize,
    },
}

/// Lower-case hexadecimal.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Lower-case hexadecimal to bytes.
///
/// # Errors
/// Upper-case or foreign characters, or an odd number of digits.
pub fn from_hex(text: &str) -> Result<Vec<u8>, EncodingError> {
    let digit = |position: usize, byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(EncodingError::Character { position }),
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(EncodingError::Character { position: text.len() - 1 });
    }
    pairs
        .enumerate()
        .map(|(index, pair)| Ok(digit(index * 2, pair[0])? << 4 | digit(index * 2 + 1, pair[1])?))
        .collect()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding (RFC 4648 §4).
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            if index <= chunk.len() {
                out.push(char::from(BASE64[(word >> (18 - 6 * index) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// Standard base64 with padding to bytes. Line breaks are not accepted; bits beyond the last byte must be zero.
///
/// # Errors
/// A foreign character, missing or misplaced padding, non-zero trailing bits.
pub fn from_base64(text: &str) -> Result<Vec<u8>, EncodingError> {
    let bytes = text.as_bytes();
    let body = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    if !bytes.len().is_multiple_of(4) || body.len() % 4 == 1 {
        return Err(EncodingError::Character { position: bytes.len() });
    }
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    let (mut word, mut bits) = (0u32, 0u32);
    for (position, byte) in body.iter().enumerate() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(EncodingError::Character { position }),
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits & 0xff) as u8);
            word &= (1 << bits) - 1;
        }
    }
    if word == 0 { Ok(out) } else { Err(EncodingError::Character { position: body.len().saturating_sub(1) }) }
}

/// Pronounceable words, 16 bits each, for reading aloud over a telephone; a trailing odd byte is dropped.
///
/// # Source
/// D. S. Wilkerson, "A Proposal for Proquints: Identifiers that are Readable, Spellable, and Pronounceable",
/// arXiv:0901.4016.
#[must_use]
pub fn to_words(bytes: &[u8]) -> Vec<String> {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aiou";
    bytes
        .chunks_exact(2)
        .map(|pair| {
            let word = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            [
                CONSONANTS[word >> 12 & 15],
                VOWELS[word >> 10 & 3],
                CONSONANTS[word >> 6 & 15],
                VOWELS[word >> 4 & 3],
                CONSONANTS[word & 15],
            ]
            .map(char::from)
            .iter()
            .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_vectors_of_rfc_4648() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(to_base64(plain.as_bytes()), text);
            assert_eq!(from_base64(text).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn base64_has_one_spelling_for_each_value() {
        for text in ["Zg=", "Zg", "Zh==", "Z===", "Zm9v\n", "Zm9=Zm9v", "=Zg=", "===="] {
            assert!(from_base64(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hexadecimal_is_lower_case_and_even() {
        assert_eq!(from_hex("00ff").unwrap(), [0, 255]);
        assert!(from_hex("00FF").is_err() && from_hex("0").is_err() && from_hex("é0").is_err());
    }

    #[test]
    fn words_follow_the_examples_of_the_paper() {
        assert_eq!(to_words(&[127, 0, 0, 1]).join("-"), "lusab-babad");
        assert_eq!(to_words(&[63, 84, 220, 193]).join("-"), "gutih-tugad");
    }
}

//! CRC-32C (Castagnoli), eight bytes a step.
//!
//! # Source
//! RFC 3720 appendix B.4; slicing-by-8 after Kounavis and Berry, "A Systematic Approach to Building High Performance
//! Software-based CRC Generators" (2005).

/// The reversed polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "index is below 256")]
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut index = 0;
        while index < 256 {
            let before: u32 = tables[slice - 1][index];
            tables[slice][index] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        slice += 1;
    }
    tables
}

/// The CRC of the concatenation of `parts`.
#[must_use]
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    !parts.iter().fold(!0, |state, part| update(state, part))
}

fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let at = |table: usize, word: u32, shift: u32| TABLES[table][(word >> shift & 0xff) as usize];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let low = state ^ u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        let high = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        state = at(7, low, 0)
            ^ at(6, low, 8)
            ^ at(5, low, 16)
            ^ at(4, low, 24)
            ^ at(3, high, 0)
            ^ at(2, high, 8)
            ^ at(1, high, 16)
            ^ at(0, high, 24);
    }
    chunks.remainder().iter().fold(state, |state, byte| state >> 8 ^ at(0, state ^ u32::from(*byte), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_vectors_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xff; 32]]), 0x62a8_ab43);
        assert_eq!(crc32c(&[&ascending]), 0x46dd_794e);
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
    }

    #[test]
    fn parts_are_one_text() {
        for cut in 0..20 {
            let (left, right) = b"a text of twenty by.".split_at(cut);
            assert_eq!(crc32c(&[left, right]), crc32c(&[b"a text of twenty by."]));
        }
    }
}

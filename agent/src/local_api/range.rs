//! `Range`, as RFC 9110 §14 has it, for one range of bytes.

/// What a request's range asks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The whole file: there is no range, or none that this server has to heed.
    Whole,
    /// Bytes from the first up to, not including, the second.
    Part(u64, u64),
    /// No byte of the file.
    Beyond,
}

/// What `header` asks of a file of `length` bytes. Several ranges, another unit and what is no range are as none at
/// all, which the RFC leaves to the server (§14.2).
pub(super) fn wish(header: Option<&str>, length: u64) -> Wish {
    let Some((first, last)) = header.and_then(|header| header.strip_prefix("bytes=")?.trim().split_once('-')) else {
        return Wish::Whole;
    };
    let end = match (position(first), position(last)) {
        // The last so many bytes.
        (None, Some(count)) if first.is_empty() => {
            return if count == 0 || length == 0 {
                Wish::Beyond
            } else {
                Wish::Part(length.saturating_sub(count), length)
            };
        }
        (Some(_), None) if last.is_empty() => length,
        (Some(first), Some(last)) if first <= last => length.min(last.saturating_add(1)),
        _ => return Wish::Whole,
    };
    match position(first) {
        Some(first) if first < length => Wish::Part(first, end),
        _ => Wish::Beyond,
    }
}

/// A position; one beyond every file if it has more digits than fit.
fn position(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_heeded_as_far_as_the_file_goes() {
        for (header, wanted) in [
            ("bytes=0-", Wish::Part(0, 10)),
            ("bytes=0-0", Wish::Part(0, 1)),
            ("bytes=2-5", Wish::Part(2, 6)),
            ("bytes=9-99", Wish::Part(9, 10)),
            ("bytes=-3", Wish::Part(7, 10)),
            ("bytes=-99", Wish::Part(0, 10)),
            ("bytes=3-99999999999999999999999", Wish::Part(3, 10)),
            ("bytes=10-", Wish::Beyond),
            ("bytes=99999999999999999999999-", Wish::Beyond),
            ("bytes=-0", Wish::Beyond),
        ] {
            assert_eq!(wish(Some(header), 10), wanted, "{header}");
        }
        assert_eq!((wish(Some("bytes=0-"), 0), wish(Some("bytes=-1"), 0)), (Wish::Beyond, Wish::Beyond));
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_as_none() {
        assert_eq!(wish(None, 10), Wish::Whole);
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=+1-2"]
        {
            assert_eq!(wish(Some(header), 10), Wish::Whole, "{header}");
        }
    }
}

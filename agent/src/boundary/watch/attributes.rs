//! Netlink messages and their attributes, as bytes (netlink(7)).

/// Bytes of a message's header.
pub(super) const HEADER: usize = 16;
/// Bits of an attribute's type that are flags.
const FLAGS: u16 = 0xc000;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// What it is.
    pub(super) kind: u16,
    /// What follows its header.
    pub(super) body: &'a [u8],
}

/// The messages in `bytes`, up to the first that is not whole.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let message = bytes.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(*bytes[4..].first_chunk()?);
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(Message { kind, body: message })
    })
}

/// The attributes in `bytes`, each with its type, up to the first that is not whole.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

/// A request with `body` as what follows its header.
pub(super) fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // No sequence number: there is one question at a time. The kernel fills the sender in.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// An attribute.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let body = [attribute(1, b"abc"), attribute(9, b""), attribute(2, &[7; 8])].concat();
        let bytes = [request(5, 1, &body), request(6, 0, b"")].concat();
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!(read, [Message { kind: 5, body: &body }, Message { kind: 6, body: b"" }]);
        assert_eq!(attributes(&body).collect::<Vec<_>>(), [(1, &b"abc"[..]), (9, b""), (2, &[7; 8])]);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let whole = request(5, 1, &attribute(1, b"abc"));
        for length in [0_u32, 1, 15, 25, 0x7fff_ffff, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
        for length in [0_u16, 1, 3, 9, u16::MAX] {
            let mut bytes = attribute(1, b"abcd");
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(attributes(&bytes).count(), 0, "{length}");
        }
        for cut in 0..whole.len() {
            assert_eq!(messages(&whole[..cut]).count(), 0, "{cut}");
        }
    }
}

//! Attributes of netlink messages: written and read. Pure.

/// Appends one attribute, padded to four bytes.
pub(super) fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes`; whatever does not parse ends them.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        // The upper bits say that the value is nested or in network order.
        Some((kind & 0x3fff, value))
    })
}

/// The value of the attribute `kind`.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(present, _)| *present == kind)
        .map(|(_, value)| value)
}

/// A value that is one `u32`.
pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(0..4)?.try_into().ok()?))
}

/// A value that is a text, with or without its zero.
pub(super) fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let mut bytes = Vec::new();
        append(&mut bytes, 1, b"fq\0");
        append(&mut bytes, 2 | 0x8000, &7_u32.to_ne_bytes());
        append(&mut bytes, 3, &[]);
        assert_eq!(bytes.len(), 8 + 8 + 4);
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(
            read,
            [(1, &b"fq\0"[..]), (2, &7_u32.to_ne_bytes()[..]), (3, &[][..])]
        );
        assert_eq!(attribute(&bytes, 1).map(text_of).as_deref(), Some("fq"));
        assert_eq!(attribute(&bytes, 2).and_then(u32_of), Some(7));
    }

    #[test]
    fn attributes_that_lie_about_their_length_end_the_list() {
        let mut bytes = Vec::new();
        append(&mut bytes, 1, &[1, 2, 3, 4]);
        for cut in 0..bytes.len() {
            assert_eq!(attributes(&bytes[..cut]).count(), 0, "{cut}");
        }
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    }
}

//! Octets as text: character-strings with their escapes (RFC 1035 5.1), hexadecimal, base64 (RFC 4648 4).
//! It knows no record type.

use std::fmt::Write;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends what a text stands for: `\X` is X, `\DDD` the octet of that number. `None` for a bad escape.
pub(super) fn unescape(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|octet| *octet == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                let value = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
                out.push(u8::try_from(value).ok()?);
                rest = &rest[3..];
            }
            [b'0'..=b'9', ..] | [] => return None,
            [octet, ..] => {
                out.push(*octet);
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

/// Appends octets as a quoted character-string that [`unescape`] reads back.
pub(super) fn quote(octets: &[u8], out: &mut String) {
    out.push('"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => _ = write!(out, "\\{octet:03}"),
        }
    }
    out.push('"');
}

/// Appends the octets of hexadecimal digits that may be spread over several texts; `None` if they are not that.
pub(super) fn read_hex<'t>(texts: impl Iterator<Item = &'t str>, out: &mut Vec<u8>) -> Option<()> {
    let mut high = None;
    for digit in texts.flat_map(str::chars) {
        let value = digit.to_digit(16)? as u8;
        match high.take() {
            None => high = Some(value << 4),
            Some(high) => out.push(high | value),
        }
    }
    high.is_none().then_some(())
}

/// Appends octets in lower-case hexadecimal.
pub(super) fn write_hex(octets: &[u8], out: &mut String) {
    octets.iter().for_each(|octet| _ = write!(out, "{octet:02x}"));
}

/// Appends the octets of base64 that may be spread over several texts; `None` if padding, alphabet or last bits are wrong.
pub(super) fn read_base64<'t>(texts: impl Iterator<Item = &'t str>, out: &mut Vec<u8>) -> Option<()> {
    let (mut word, mut digits, mut padding) = (0_u32, 0, 0);
    for octet in texts.flat_map(str::bytes) {
        let value = match octet {
            b'=' if digits >= 2 => {
                padding += 1;
                0
            }
            _ if padding > 0 => return None,
            _ => base64_value(octet)?,
        };
        word = word << 6 | u32::from(value);
        digits += 1;
        if digits == 4 {
            let [_, octets @ ..] = word.to_be_bytes();
            let (kept, dropped) = octets.split_at(3_usize.checked_sub(padding)?);
            if dropped.iter().any(|octet| *octet != 0) {
                return None;
            }
            out.extend_from_slice(kept);
            (word, digits) = (0, 0);
        }
    }
    (digits == 0).then_some(())
}

fn base64_value(octet: u8) -> Option<u8> {
    Some(match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Appends octets in base64, padded.
pub(super) fn write_base64(octets: &[u8], out: &mut String) {
    for chunk in octets.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 0x3f;
            out.push(if digit > chunk.len() { '=' } else { char::from(BASE64[value as usize]) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<T: FnOnce(&mut Vec<u8>) -> Option<()>>(read: T) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        read(&mut out).map(|()| out)
    }

    #[test]
    fn escapes_stand_for_octets() {
        let plain = |text: &str| read(|out| unescape(text, out));
        assert_eq!(plain(r#"a\"b\\c\065\255\;"#).unwrap(), b"a\"b\\cA\xff;");
        assert!(["\\", "a\\25", "\\256", "\\2x5"].iter().all(|text| plain(text).is_none()));
    }

    #[test]
    fn base64_is_read_strictly() {
        let plain = |text: &str| read(|out| read_base64(text.split(' '), out));
        assert_eq!(plain("Zm9v YmE=").unwrap(), b"fooba");
        assert_eq!(plain("Zg==").unwrap(), b"f");
        for bad in ["Zg=", "Zg", "Zh==", "Z===", "Zg==Zg==", "====", "Zm-_", "Zm9vYmE==="] {
            assert_eq!(plain(bad), None, "{bad}");
        }
    }

    #[test]
    fn hex_needs_pairs() {
        let plain = |text: &str| read(|out| read_hex(text.split(' '), out));
        assert_eq!(plain("0aF F").unwrap(), [0x0a, 0xff]);
        assert!(plain("abc").is_none() && plain("0g").is_none());
    }

    proptest! {
        #[test]
        fn octets_survive_their_text(octets in prop::collection::vec(any::<u8>(), 0..70)) {
            let (mut quoted, mut hex, mut base64) = (String::new(), String::new(), String::new());
            quote(&octets, &mut quoted);
            write_hex(&octets, &mut hex);
            write_base64(&octets, &mut base64);
            prop_assert_eq!(read(|out| unescape(&quoted[1..quoted.len() - 1], out)).unwrap(), octets.clone());
            prop_assert_eq!(read(|out| read_hex([hex.as_str()].into_iter(), out)).unwrap(), octets.clone());
            prop_assert_eq!(read(|out| read_base64([base64.as_str()].into_iter(), out)).unwrap(), octets);
        }
    }
}

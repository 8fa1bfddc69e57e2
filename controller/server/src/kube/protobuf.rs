//! The one binary message that newer kubectls insist on: `SelfSubjectAccessReview` inside `runtime.Unknown`
//! (`k8s.io/apimachinery/pkg/runtime/generated.proto`, `k8s.io/api/authorization/v1/generated.proto`). Pure.

use super::review::AccessReview;

/// What a review asks about. The bytes are those after the `k8s\0` mark.
pub(super) fn question(unknown: &[u8]) -> Option<AccessReview> {
    // Unknown{2: raw}; raw: SelfSubjectAccessReview{2: spec}; spec{1: resourceAttributes, 2: nonResourceAttributes}.
    let spec = field(field(unknown, 2)?, 2)?;
    if let Some(resource) = field(spec, 1) {
        return Some(AccessReview {
            verb: text(field(resource, 2)?)?,
            path: String::new(),
            group: field(resource, 3).and_then(text).unwrap_or_default(),
            resource: field(resource, 5).and_then(text).unwrap_or_default(),
        });
    }
    let other = field(spec, 2)?;
    Some(AccessReview {
        path: text(field(other, 1)?)?,
        verb: text(field(other, 2)?)?,
        ..AccessReview::default()
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The first length-delimited field of this number.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let (key, rest) = varint(message)?;
        let (value, rest) = match key & 7 {
            0 => (&[][..], varint(rest)?.1),
            1 => (&[][..], rest.get(8..)?),
            2 => {
                let (length, rest) = varint(rest)?;
                rest.split_at_checked(usize::try_from(length).ok()?)?
            }
            5 => (&[][..], rest.get(4..)?),
            _ => return None,
        };
        if key >> 3 == wanted && key & 7 == 2 {
            return Some(value);
        }
        message = rest;
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let shift = u32::try_from(index).ok()? * 7;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    fn review(spec: &[u8]) -> Vec<u8> {
        let kind = message(1, &message(1, b"authorization.k8s.io/v1"));
        [kind, message(2, &message(2, spec))].concat()
    }

    #[test]
    fn a_review_says_what_it_asks_about() {
        let resource = [
            message(1, b"default"),
            message(2, b"create"),
            message(3, b"aegisops.io"),
            message(5, b"workloads"),
        ]
        .concat();
        let asked = question(&review(&message(1, &resource))).unwrap();
        assert_eq!(
            asked,
            AccessReview {
                verb: "create".to_owned(),
                path: String::new(),
                group: "aegisops.io".to_owned(),
                resource: "workloads".to_owned(),
            }
        );
        let other = [message(1, b"/metrics"), message(2, b"get")].concat();
        let asked = question(&review(&message(2, &other))).unwrap();
        assert_eq!(
            asked,
            AccessReview {
                verb: "get".to_owned(),
                path: "/metrics".to_owned(),
                ..AccessReview::default()
            }
        );
    }

    #[test]
    fn a_cut_or_mad_message_is_no_review() {
        let whole = review(&message(1, &message(2, b"create")));
        for end in 0..whole.len() {
            assert!(question(&whole[..end]).is_none(), "{end}");
        }
        assert!(question(&[0xff; 64]).is_none());
        assert!(question(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_none());
    }
}

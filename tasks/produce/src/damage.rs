//! Records that break the contract, on purpose: every one must become a reject.

use rand::{Rng, RngExt};

/// The ways to break a good record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// No payload.
    Tombstone,
    /// A payload without bytes.
    Empty,
    /// White space alone.
    Blank,
    /// JSON's null.
    Null,
    /// Cut off.
    Truncated,
    /// The object in an array.
    InArray,
    /// The object twice in one record.
    Twice,
    /// More text behind the object.
    TextBehind,
    /// A byte that no UTF-8 has.
    NotUtf8,
    /// An escaped U+0000.
    Nul,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// One key twice.
    DuplicateKey,
    /// Arrays in arrays in arrays.
    DeeplyNested,
    /// A required field is not there.
    MissingField,
    /// A required field is null.
    NullField,
    /// A number in quotes.
    NumberAsText,
    /// A number where a text belongs.
    TextAsNumber,
    /// An object where a text belongs.
    TextAsObject,
    /// Not one of the five types.
    UnknownType,
    /// The right type in the wrong letters.
    TypeInCapitals,
    /// A device that does not exist.
    UnknownDevice,
    /// A session that ended before it began.
    NegativeDuration,
    /// More seconds than 32 bits hold.
    HugeDuration,
    /// A time without a zone.
    NoZone,
    /// A time in words.
    TimeInWords,
    /// Before there was a shop.
    LongAgo,
    /// In the far future.
    FarAhead,
    /// An identifier of 129 letters.
    LongId,
}

impl Damage {
    /// Every way.
    pub const ALL: [Damage; 28] = [
        Damage::Tombstone,
        Damage::Empty,
        Damage::Blank,
        Damage::Null,
        Damage::Truncated,
        Damage::InArray,
        Damage::Twice,
        Damage::TextBehind,
        Damage::NotUtf8,
        Damage::Nul,
        Damage::LoneSurrogate,
        Damage::DuplicateKey,
        Damage::DeeplyNested,
        Damage::MissingField,
        Damage::NullField,
        Damage::NumberAsText,
        Damage::TextAsNumber,
        Damage::TextAsObject,
        Damage::UnknownType,
        Damage::TypeInCapitals,
        Damage::UnknownDevice,
        Damage::NegativeDuration,
        Damage::HugeDuration,
        Damage::NoZone,
        Damage::TimeInWords,
        Damage::LongAgo,
        Damage::FarAhead,
        Damage::LongId,
    ];

    /// A good payload, broken in this way; `None` is a tombstone.
    pub fn of(self, good: &[u8], rng: &mut impl Rng) -> Option<Vec<u8>> {
        let field = |name: &str, value: &[u8]| replaced(good, name, value);
        Some(match self {
            Damage::Tombstone => return None,
            Damage::Empty => Vec::new(),
            Damage::Blank => b" \t ".to_vec(),
            Damage::Null => b"null".to_vec(),
            Damage::Truncated => good[..rng.random_range(1..good.len())].to_vec(),
            Damage::InArray => [b"[", good, b"]"].concat(),
            Damage::Twice => [good, good].concat(),
            Damage::TextBehind => [good, b" and so on"].concat(),
            Damage::NotUtf8 => with_note(good, b"\"\xC3\x28\""),
            Damage::Nul => with_note(good, br#""a\u0000b""#),
            Damage::LoneSurrogate => with_note(good, br#""\ud83d""#),
            Damage::DuplicateKey => replaced(good, "level", br#""INFO","level":"INFO""#),
            Damage::DeeplyNested => with_note(good, &[b'['; 2000]),
            Damage::MissingField => renamed(good, "user_id", "user"),
            Damage::NullField => field("session_id", b"null"),
            Damage::NumberAsText => field("session_duration", br#""12""#),
            Damage::TextAsNumber => field("user_id", b"17"),
            Damage::TextAsObject => field("product_id", b"{}"),
            Damage::UnknownType => field("event_type", br#""refund""#),
            Damage::TypeInCapitals => field("event_type", br#""PURCHASE""#),
            Damage::UnknownDevice => field("device_type", br#""fridge""#),
            Damage::NegativeDuration => field("session_duration", b"-1"),
            Damage::HugeDuration => field("session_duration", b"9223372036854775808"),
            Damage::NoZone => field("timestamp", br#""2026-01-01T12:00:00""#),
            Damage::TimeInWords => field("timestamp", br#""yesterday""#),
            Damage::LongAgo => field("timestamp", br#""1970-01-01T00:00:00Z""#),
            Damage::FarAhead => field("timestamp", br#""9999-12-31T23:59:59Z""#),
            Damage::LongId => field("session_id", format!("\"{}\"", "s".repeat(129)).as_bytes()),
        })
    }
}

/// Where the value of a top-level field with a plain value lies.
fn value_of(payload: &[u8], name: &str) -> Option<(usize, usize)> {
    let key = format!("\"{name}\":");
    let start = find(payload, key.as_bytes())? + key.len();
    let length = payload[start..]
        .iter()
        .position(|byte| matches!(byte, b',' | b'}'))?;
    Some((start, start + length))
}

fn find(payload: &[u8], piece: &[u8]) -> Option<usize> {
    payload
        .windows(piece.len())
        .position(|window| window == piece)
}

/// A field given another value; a payload that lacks the field is cut in half, which breaks it too.
fn replaced(payload: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    match value_of(payload, name) {
        Some((start, end)) => [&payload[..start], value, &payload[end..]].concat(),
        None => payload[..payload.len() / 2].to_vec(),
    }
}

fn renamed(payload: &[u8], name: &str, other: &str) -> Vec<u8> {
    let key = format!("\"{name}\":");
    match find(payload, key.as_bytes()) {
        Some(start) => [
            &payload[..start],
            format!("\"{other}\":").as_bytes(),
            &payload[start + key.len()..],
        ]
        .concat(),
        None => payload[..payload.len() / 2].to_vec(),
    }
}

/// A further field with that value, at the front.
fn with_note(payload: &[u8], value: &[u8]) -> Vec<u8> {
    [br#"{"note":"#, value, b",", &payload[1..]].concat()
}

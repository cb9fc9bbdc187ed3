//! Rejects: records that are not events. They are stored and counted, never dropped.

use std::fmt;

/// Why a record is not an event: a closed set, so that rejects can be counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The record has a key and no payload.
    Tombstone,
    /// The payload has no bytes, or white space alone.
    Empty,
    /// The payload is not UTF-8.
    NotUtf8,
    /// The payload is not one JSON text: cut off, followed by more, or not JSON at all.
    NotJson,
    /// The payload is JSON and not an object.
    NotAnObject,
    /// A key stands twice in one object.
    DuplicateKey,
    /// A string holds U+0000, which PostgreSQL text refuses.
    NulCharacter,
    /// A string holds half of a surrogate pair.
    LoneSurrogate,
    /// A field that the contract requires for this event type is absent or null.
    MissingField,
    /// A field of the contract has another JSON type.
    WrongType,
    /// `event_type` is none of the five of the contract.
    UnknownEventType,
    /// A time-stamp is not ISO 8601 with a zone.
    BadTimestamp,
    /// A value lies outside what the contract allows.
    OutOfRange,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 13] = [
        Reason::Tombstone,
        Reason::Empty,
        Reason::NotUtf8,
        Reason::NotJson,
        Reason::NotAnObject,
        Reason::DuplicateKey,
        Reason::NulCharacter,
        Reason::LoneSurrogate,
        Reason::MissingField,
        Reason::WrongType,
        Reason::UnknownEventType,
        Reason::BadTimestamp,
        Reason::OutOfRange,
    ];

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The name under which the reject is stored and counted.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Tombstone => "tombstone",
            Reason::Empty => "empty",
            Reason::NotUtf8 => "not_utf8",
            Reason::NotJson => "not_json",
            Reason::NotAnObject => "not_an_object",
            Reason::DuplicateKey => "duplicate_key",
            Reason::NulCharacter => "nul_character",
            Reason::LoneSurrogate => "lone_surrogate",
            Reason::MissingField => "missing_field",
            Reason::WrongType => "wrong_type",
            Reason::UnknownEventType => "unknown_event_type",
            Reason::BadTimestamp => "bad_timestamp",
            Reason::OutOfRange => "out_of_range",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The verdict on a record that is not an event. The payload stays with the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// The field at fault, as a path (`details.items[0].quantity`), where one is.
    pub field: Option<String>,
}

impl Reject {
    pub(crate) fn whole(reason: Reason) -> Reject {
        Reject {
            reason,
            field: None,
        }
    }

    pub(crate) fn at(reason: Reason, field: impl Into<String>) -> Reject {
        Reject {
            reason,
            field: Some(field.into()),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(formatter, "{} at {field}", self.reason),
            None => write!(formatter, "{}", self.reason),
        }
    }
}

impl std::error::Error for Reject {}

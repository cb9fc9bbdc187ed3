//! The fast path: a record written the usual way, in one pass and without a copy.
//!
//! Usual is an object of the contract's fields alone, in any order, each once, without escapes,
//! without white space but single spaces, and with plain decimals as numbers. Nothing is decided
//! here: what is not usual is `None`, and serde_json says what it is. What is usual, serde_json
//! reads as the same [`Wire`], in which no key stands twice.

use std::borrow::Cow;

use wide::u8x16;

use crate::parse::Geo;
use crate::text::{Object, Text};
use crate::wire::{Wire, WireDetails, WireItem};

/// So many digits, with a point among them or not, are one division away from the nearest double.
const MOST_DIGITS: usize = 15;

/// Filters with more keys than this are not usual.
const MOST_FILTERS: usize = 8;

/// Bytes that have their bits in one word of [`find_quotes`].
const BLOCK: usize = 64;

/// Words of [`find_quotes`]: a record of `BLOCKS * BLOCK` bytes or more is not usual.
const BLOCKS: usize = 64;

/// `text` as a record, if it is a usual one.
pub(crate) fn wire(text: &str) -> Option<Wire<'_>> {
    let mut quotes = [0; BLOCKS];
    find_quotes(text.as_bytes(), &mut quotes)?;
    let mut scan = Scan {
        text,
        at: 0,
        quotes: &quotes,
    };
    let mut wire = Wire::default();
    scan.object(|scan, key| match key {
        "timestamp" => scan.text(&mut wire.timestamp),
        "level" => scan.text(&mut wire.level),
        "service" => scan.text(&mut wire.service),
        "event_type" => scan.text(&mut wire.event_type),
        "event_id" => scan.text(&mut wire.event_id),
        "user_id" => scan.text(&mut wire.user_id),
        "session_id" => scan.text(&mut wire.session_id),
        "product_id" => scan.text(&mut wire.product_id),
        "session_duration" => scan.whole(&mut wire.session_duration),
        "device_type" => scan.text(&mut wire.device_type),
        "geo_location" => put(&mut wire.geo_location, Object(scan.geo()?)),
        "details" => {
            put(&mut wire.details, Object(WireDetails::default()))?;
            scan.details(&mut wire.details.as_mut()?.0)
        }
        "error_code" => scan.text(&mut wire.error_code),
        "message" => scan.text(&mut wire.message),
        "error_at" => scan.text(&mut wire.error_at),
        _ => None,
    })?;
    (scan.at == text.len()).then_some(wire)
}

/// Where quotation marks stand, a bit for each byte. `None` when one of them, or a string, may not
/// be what it seems, because there is a backslash or a control character.
fn find_quotes(bytes: &[u8], quotes: &mut [u64; BLOCKS]) -> Option<()> {
    let mut odd = u8x16::splat(0);
    let mut block_bits = |block: &[u8; BLOCK]| {
        let mut bits = 0;
        for (index, piece) in block.as_chunks::<16>().0.iter().enumerate() {
            let piece = u8x16::new(*piece);
            odd |= piece.simd_eq(u8x16::splat(b'\\'));
            odd |= piece.min(u8x16::splat(b' ' - 1)).simd_eq(piece);
            let found = piece.simd_eq(u8x16::splat(b'"')).to_bitmask();
            bits |= u64::from(found) << (16 * index);
        }
        bits
    };
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (bits, block) in quotes.iter_mut().zip(blocks) {
        *bits = block_bits(block);
    }
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    *quotes.get_mut(blocks.len())? = block_bits(&last);
    odd.none().then_some(())
}

/// Fills a field that was not there yet.
fn put<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

struct Scan<'a, 'q> {
    text: &'a str,
    quotes: &'q [u64; BLOCKS],
    at: usize,
}

impl<'a> Scan<'a, '_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether `byte` comes next, behind a space perhaps; it is passed then.
    fn take(&mut self, byte: u8) -> bool {
        if self.byte() == Some(byte) {
            self.at += 1;
            return true;
        }
        if self.byte() == Some(b' ') && self.text.as_bytes().get(self.at + 1) == Some(&byte) {
            self.at += 2;
            return true;
        }
        false
    }

    fn space(&mut self) {
        self.at += usize::from(self.byte() == Some(b' '));
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let mut block = start / BLOCK;
        let mut bits = self.quotes.get(block)? & (!0 << (start % BLOCK));
        while bits == 0 {
            block += 1;
            bits = *self.quotes.get(block)?;
        }
        let end = BLOCK * block + bits.trailing_zeros() as usize;
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// What stands between `open` and `close`, one part after the other with commas between; `part` reads each.
    fn parts(
        &mut self,
        (open, close): (u8, u8),
        mut part: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(open)?;
        if self.take(close) {
            return Some(());
        }
        loop {
            part(self)?;
            if self.take(close) {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// `{"key":VALUE, …}`, of which `field` reads each value.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.parts((b'{', b'}'), |scan| {
            let key = scan.string()?;
            scan.expect(b':')?;
            field(scan, key)
        })
    }

    fn text(&mut self, field: &mut Option<Text<'a>>) -> Option<()> {
        put(field, Text(Cow::Borrowed(self.string()?)))
    }

    /// The digits of a number without sign and exponent, and how many of them stand behind the point.
    fn decimal(&mut self) -> Option<(u64, usize)> {
        self.space();
        let start = self.at;
        let whole = self.digits(0);
        let length = self.at - start;
        let leads_with_zero = self.text.as_bytes().get(start) == Some(&b'0');
        if length == 0 || (leads_with_zero && length > 1) {
            return None;
        }
        if self.byte() != Some(b'.') {
            return (length <= MOST_DIGITS).then_some((whole, 0));
        }
        self.at += 1;
        let point = self.at;
        let digits = self.digits(whole);
        let behind = self.at - point;
        (behind > 0 && length + behind <= MOST_DIGITS).then_some((digits, behind))
    }

    /// Appends the digits that follow to `number`, which may overflow when there are too many.
    fn digits(&mut self, mut number: u64) -> u64 {
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            number = number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    fn whole(&mut self, field: &mut Option<i64>) -> Option<()> {
        match self.decimal()? {
            (number, 0) => put(field, i64::try_from(number).ok()?),
            _ => None,
        }
    }

    fn real(&mut self, field: &mut Option<f64>) -> Option<()> {
        let (digits, behind) = self.decimal()?;
        let behind = i32::try_from(behind).ok()?;
        put(field, digits as f64 / 10f64.powi(behind))
    }

    fn geo(&mut self) -> Option<Geo<'a>> {
        let (mut country, mut city) = (None, None);
        self.object(|scan, key| match key {
            "country" => scan.text(&mut country),
            "city" => scan.text(&mut city),
            _ => None,
        })?;
        Some(Geo {
            country: country?,
            city: city?,
        })
    }

    fn details(&mut self, details: &mut WireDetails<'a>) -> Option<()> {
        self.object(|scan, key| match key {
            "amount" => scan.real(&mut details.amount),
            "payment_method" => scan.text(&mut details.payment_method),
            "items" => put(&mut details.items, scan.items()?),
            "shipping_address" => scan.text(&mut details.shipping_address),
            "query" => scan.text(&mut details.query),
            "results_count" => scan.whole(&mut details.results_count),
            "filters" => put(&mut details.filters, scan.filters()?),
            "searched_at" => scan.text(&mut details.searched_at),
            "order_id" => scan.text(&mut details.order_id),
            "shipping_method" => scan.text(&mut details.shipping_method),
            "delivery_estimate" => scan.text(&mut details.delivery_estimate),
            "completed_at" => scan.text(&mut details.completed_at),
            "attempted_amount" => scan.real(&mut details.attempted_amount),
            "failed_at" => scan.text(&mut details.failed_at),
            _ => None,
        })
    }

    fn items(&mut self) -> Option<Vec<Object<WireItem<'a>>>> {
        let mut items = Vec::new();
        self.parts((b'[', b']'), |scan| {
            items.push(Object(scan.item()?));
            Some(())
        })?;
        Some(items)
    }

    fn item(&mut self) -> Option<WireItem<'a>> {
        let (mut product_id, mut quantity) = (None, None);
        self.object(|scan, key| match key {
            "product_id" => scan.text(&mut product_id),
            "quantity" => scan.whole(&mut quantity),
            _ => None,
        })?;
        Some(WireItem {
            product_id: product_id?,
            quantity: quantity?,
        })
    }

    /// An object of strings, numbers and truth values, as it stands there.
    fn filters(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        let mut seen = [None; MOST_FILTERS];
        self.object(|scan, key| {
            let free = seen
                .iter()
                .position(|other| *other == Some(key) || other.is_none())?;
            put(&mut seen[free], key)?;
            scan.scalar()
        })?;
        Some(&self.text[start..self.at])
    }

    fn scalar(&mut self) -> Option<()> {
        self.space();
        match self.byte()? {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.decimal().map(drop),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::EVERY_FIELD;

    const SEARCH: &str = r#"{"timestamp":"2026-11-27T19:10:01.001Z","level":"INFO","service":"ecommerce-platform",
"event_type":"search","event_id":"e","user_id":"u","session_id":"s","product_id":"p","session_duration":0,
"device_type":"mobile","geo_location":{"country":"DE","city":"Köln"},"details":{"query":"","results_count":22,
"filters":{"price_max":100.5,"in_stock":true,"new":false,"brand":"b"},"searched_at":"2026-11-27T19:10:01.001Z"}}"#;

    fn read(json: &str) -> Option<Wire<'_>> {
        let wire = wire(json);
        if wire.is_some() {
            let Ok(Object(expected)) = serde_json::from_str(json) else {
                panic!("not for serde_json: {json}");
            };
            assert_eq!(wire.as_ref(), Some(&expected), "{json}");
            assert_eq!(expected.repeated_key(json), None, "{json}");
        }
        wire
    }

    /// Every field, in any order, as Rust's and as Python's libraries write it.
    #[test]
    fn what_is_usual_takes_the_fast_path() {
        let no_basket = r#"{"details":{"items":[],"amount":12.30,"filters":{}}}"#;
        let line = |json: &str| json.lines().map(str::trim).collect::<String>();
        for json in [SEARCH, EVERY_FIELD, no_basket, "{}"].map(line) {
            assert!(read(&json).is_some(), "{json}");
            let spaced = json
                .replace("\":", "\": ")
                .replace(",\"", ", \"")
                .replace("},{", "}, {");
            assert!(read(&spaced).is_some(), "{spaced}");
        }
        let longest = format!(r#"{{"message":"{}"}}"#, "a".repeat(BLOCK * BLOCKS - 15));
        assert_eq!(longest.len(), BLOCK * BLOCKS - 1);
        assert!(read(&longest).is_some());
    }

    #[test]
    fn what_is_not_usual_is_left_to_serde_json() {
        for json in [
            "",
            " ",
            "[]",
            "{",
            "{}}",
            "{} {}",
            "{\n}",
            r#"{"level":"INFO","level":"INFO"}"#,
            r#"{"level":"\u0041"}"#,
            r#"{"level":null}"#,
            r#"{"level":7}"#,
            r#"{"level":"INFO",}"#,
            r#"{"level":  "INFO"}"#,
            r#"{"unknown":"field"}"#,
            r#"{"session_duration":-1}"#,
            r#"{"session_duration":01}"#,
            r#"{"session_duration":1.0}"#,
            r#"{"session_duration":1e0}"#,
            r#"{"session_duration":}"#,
            r#"{"session_duration":1234567890123456}"#,
            r#"{"geo_location":{"country":"DE"}}"#,
            r#"{"details":{},"details":{}}"#,
            r#"{"details":{"amount":.5}}"#,
            r#"{"details":{"amount":5.}}"#,
            r#"{"details":{"amount":00.5}}"#,
            r#"{"details":{"amount":0.1234567890123456}}"#,
            r#"{"details":{"items":[{"product_id":"p"}]}}"#,
            r#"{"details":{"items":[{"product_id":"p","quantity":1},]}}"#,
            r#"{"details":{"filters":{"a":1,"a":1}}}"#,
            r#"{"details":{"filters":{"a":tru}}}"#,
            r#"{"details":{"filters":{"a":null}}}"#,
            r#"{"details":{"filters":{"a":[]}}}"#,
            r#"{"details":{"filters":{"a":f"#,
            r#"{"details":{"filters":"#,
            r#"{"details":{"filters":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}}}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        let longer = format!(r#"{{"message":"{}"}}"#, "a".repeat(BLOCK * BLOCKS));
        assert_eq!(read(&longer), None);
    }

    #[test]
    fn decimals_are_the_nearest_doubles() {
        for amount in [
            "0",
            "0.1",
            "19.99",
            "999999999999.999",
            "0.00000000000001",
            "123456789012345",
        ] {
            let json = format!(r#"{{"details":{{"amount":{amount}}}}}"#);
            let wire = read(&json).expect("a usual one");
            let found = wire.details.and_then(|Object(details)| details.amount);
            assert_eq!(found, amount.parse().ok(), "{amount}");
        }
    }
}

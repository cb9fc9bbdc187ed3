//! Rows as Cassandra takes them.
//!
//! A row is serialized once, by the driver's own rules, while the record it came from is at hand;
//! after that it is bytes among those of the other rows of its write.

use cassandra::{date, timestamp};
use event::{Details, Event, Micros, Reject, Text};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp, MaybeUnset};

use crate::rollup::Cell;

/// `ecomm_log`, in the order of [`EventRow`].
pub const INSERT_EVENT: &str = "INSERT INTO ecomm_log (event_type, event_date, shard, timestamp, \
     event_id, user_id, session_id, product_id, level, service, session_duration, device_type, \
     geo_country, geo_city, details_amount, details_payment_method, details_items, \
     details_order_id, details_query, details_results_count, details_shipping_method, \
     details_delivery_estimate, details_completed_at, details_shipping_address, error_code, \
     message, error_at, attempted_amount, failed_at, kafka_partition, kafka_offset) VALUES \
     (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) USING TIMESTAMP ?";

/// `ecomm_by_minute`, in the order of [`CellRow`].
pub const INSERT_CELL: &str = "INSERT INTO ecomm_by_minute (metric, event_date, minute, dim, \
     kafka_partition, batch_start_offset, cnt, amount) VALUES (?,?,?,?,?,?,?,?) USING TIMESTAMP ?";

/// `rejected_log`, in the order of [`RejectRow`].
pub const INSERT_REJECT: &str = "INSERT INTO rejected_log (reject_date, shard, kafka_time, \
     kafka_partition, kafka_offset, topic, reason, field, detail, key, payload) VALUES \
     (?,?,?,?,?,?,?,?,?,?,?) USING TIMESTAMP ?";

/// Columns that a type of event does not have stay unset: null would be a tombstone each.
type Maybe<T> = MaybeUnset<T>;

/// One row of `ecomm_log`.
#[derive(scylla::SerializeRow)]
#[scylla(flavor = "enforce_order")]
struct EventRow<'a> {
    event_type: &'a str,
    event_date: CqlDate,
    shard: i32,
    timestamp: CqlTimestamp,
    event_id: &'a str,
    user_id: &'a str,
    session_id: &'a str,
    product_id: &'a str,
    level: &'a str,
    service: &'a str,
    session_duration: i32,
    device_type: &'a str,
    geo_country: &'a str,
    geo_city: &'a str,
    details_amount: Maybe<f64>,
    details_payment_method: Maybe<&'a str>,
    details_items: Maybe<&'a str>,
    details_order_id: Maybe<&'a str>,
    details_query: Maybe<&'a str>,
    details_results_count: Maybe<i32>,
    details_shipping_method: Maybe<&'a str>,
    details_delivery_estimate: Maybe<&'a str>,
    details_completed_at: Maybe<CqlTimestamp>,
    details_shipping_address: Maybe<&'a str>,
    error_code: Maybe<&'a str>,
    message: Maybe<&'a str>,
    error_at: Maybe<CqlTimestamp>,
    attempted_amount: Maybe<f64>,
    failed_at: Maybe<CqlTimestamp>,
    kafka_partition: i32,
    kafka_offset: i64,
    #[scylla(rename = "[timestamp]")]
    write_timestamp: i64,
}

/// One row of `ecomm_by_minute`.
#[derive(scylla::SerializeRow)]
#[scylla(flavor = "enforce_order")]
struct CellRow<'a> {
    metric: &'a str,
    event_date: CqlDate,
    minute: CqlTimestamp,
    dim: &'a str,
    kafka_partition: i32,
    batch_start_offset: i64,
    cnt: i64,
    amount: f64,
    #[scylla(rename = "[timestamp]")]
    write_timestamp: i64,
}

/// One row of `rejected_log`.
#[derive(scylla::SerializeRow)]
#[scylla(flavor = "enforce_order")]
struct RejectRow<'a> {
    reject_date: CqlDate,
    shard: i32,
    kafka_time: CqlTimestamp,
    kafka_partition: i32,
    kafka_offset: i64,
    topic: &'a str,
    reason: &'a str,
    field: Maybe<&'a str>,
    detail: Maybe<&'a str>,
    key: Maybe<&'a [u8]>,
    payload: Maybe<&'a [u8]>,
    #[scylla(rename = "[timestamp]")]
    write_timestamp: i64,
}

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Its Kafka time; 0 where it has none.
    pub time: Micros,
}

impl Origin {
    fn shard(&self) -> i32 {
        cassandra::shard(self.partition)
    }
}

/// What `rejected_log` tells of a record.
#[derive(Debug, Default)]
pub struct Refusal<'a> {
    /// Name of the reason.
    pub reason: &'a str,
    /// The field at fault.
    pub field: Option<&'a str>,
    /// More, in words.
    pub detail: Option<&'a str>,
    /// Key of the record.
    pub key: Option<&'a [u8]>,
    /// Payload of the record.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Refusal<'a> {
    /// A record that breaks the contract.
    pub fn new(
        reject: &'a Reject,
        key: Option<&'a [u8]>,
        payload: Option<&'a [u8]>,
    ) -> Refusal<'a> {
        Refusal {
            reason: reject.reason.name(),
            field: reject.field.as_deref(),
            detail: None,
            key,
            payload,
        }
    }
}

fn maybe<T>(value: Option<T>) -> Maybe<T> {
    value.map_or(MaybeUnset::Unset, MaybeUnset::Set)
}

/// Rows of one statement, serialized.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = EncodedRow<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| EncodedRow(&self.bytes[start..*end]))
    }

    /// So many without a byte.
    #[cfg(test)]
    pub fn blank(count: usize) -> Rows {
        Rows {
            bytes: Vec::new(),
            ends: vec![0; count],
        }
    }

    fn push(
        &mut self,
        statement: &PreparedStatement,
        row: &impl SerializeRow,
    ) -> Result<(), SerializationError> {
        let specs = statement.get_variable_col_specs();
        let context = RowSerializationContext::from_specs(specs.as_slice());
        let mut writer = RowWriter::new(&mut self.bytes);
        let result = row.serialize(&context, &mut writer);
        match result {
            Ok(()) => self.ends.push(self.bytes.len()),
            Err(_) => self.bytes.truncate(self.ends.last().copied().unwrap_or(0)),
        }
        result
    }

    /// Adds an event to rows of [`INSERT_EVENT`].
    pub fn event(
        &mut self,
        statement: &PreparedStatement,
        origin: Origin,
        event_id: &str,
        event: &Event<'_>,
    ) -> Result<(), SerializationError> {
        let mut basket = Vec::new();
        if let Some(items) = event.details.items() {
            event::write_basket(items, &mut basket);
        }
        let items = String::from_utf8_lossy(&basket);
        let mut row = EventRow {
            event_type: event.event_type.name(),
            event_date: date(event.time),
            shard: origin.shard(),
            timestamp: timestamp(event.time),
            event_id,
            user_id: &event.user_id,
            session_id: &event.session_id,
            product_id: &event.product_id,
            level: &event.level,
            service: event::SERVICE,
            session_duration: event.session_duration,
            device_type: &event.device_type,
            geo_country: &event.geo.country,
            geo_city: &event.geo.city,
            details_amount: MaybeUnset::Unset,
            details_payment_method: MaybeUnset::Unset,
            details_items: maybe((!items.is_empty()).then_some(&*items)),
            details_order_id: MaybeUnset::Unset,
            details_query: MaybeUnset::Unset,
            details_results_count: MaybeUnset::Unset,
            details_shipping_method: MaybeUnset::Unset,
            details_delivery_estimate: MaybeUnset::Unset,
            details_completed_at: MaybeUnset::Unset,
            details_shipping_address: MaybeUnset::Unset,
            error_code: MaybeUnset::Unset,
            message: MaybeUnset::Unset,
            error_at: MaybeUnset::Unset,
            attempted_amount: MaybeUnset::Unset,
            failed_at: MaybeUnset::Unset,
            kafka_partition: origin.partition,
            kafka_offset: origin.offset,
            write_timestamp: origin.time,
        };
        row.details(&event.details);
        self.push(statement, &row)
    }

    /// Adds a cell to rows of [`INSERT_CELL`].
    pub fn cell(
        &mut self,
        statement: &PreparedStatement,
        partition: i32,
        block: i64,
        cell: &Cell<'_>,
        write_timestamp: Micros,
    ) -> Result<(), SerializationError> {
        let row = CellRow {
            metric: cell.metric.name(),
            event_date: date(cell.minute),
            minute: timestamp(cell.minute),
            dim: cell.dim,
            kafka_partition: partition,
            batch_start_offset: block,
            cnt: cell.count,
            amount: cell.amount,
            write_timestamp,
        };
        self.push(statement, &row)
    }

    /// Adds a record that is no event to rows of [`INSERT_REJECT`].
    pub fn reject(
        &mut self,
        statement: &PreparedStatement,
        origin: Origin,
        topic: &str,
        refusal: &Refusal<'_>,
    ) -> Result<(), SerializationError> {
        let row = RejectRow {
            reject_date: date(origin.time),
            shard: origin.shard(),
            kafka_time: timestamp(origin.time),
            kafka_partition: origin.partition,
            kafka_offset: origin.offset,
            topic,
            reason: refusal.reason,
            field: maybe(refusal.field),
            detail: maybe(refusal.detail),
            key: maybe(refusal.key),
            payload: maybe(refusal.payload),
            write_timestamp: origin.time,
        };
        self.push(statement, &row)
    }
}

impl<'a> EventRow<'a> {
    fn details(&mut self, details: &'a Details<'a>) {
        let text = |text: &'a Text<'a>| MaybeUnset::Set(&**text);
        let time = |time: &Micros| MaybeUnset::Set(timestamp(*time));
        match details {
            Details::Purchase {
                amount,
                payment_method,
                shipping_address,
                items: _,
            } => {
                self.details_amount = MaybeUnset::Set(*amount);
                self.details_payment_method = text(payment_method);
                self.details_shipping_address = text(shipping_address);
            }
            Details::Search {
                query,
                results_count,
                // the original has no columns for them; the raw files keep them
                filters: _,
                searched_at: _,
            } => {
                self.details_query = text(query);
                self.details_results_count = MaybeUnset::Set(*results_count);
            }
            Details::OrderComplete {
                order_id,
                amount,
                shipping_method,
                delivery_estimate,
                completed_at,
                items: _,
            } => {
                self.details_order_id = text(order_id);
                self.details_amount = MaybeUnset::Set(*amount);
                self.details_shipping_method = text(shipping_method);
                self.details_delivery_estimate = text(delivery_estimate);
                self.details_completed_at = time(completed_at);
            }
            Details::OrderFailed {
                order_id,
                attempted_amount,
                failed_at,
            } => {
                self.details_order_id = text(order_id);
                self.attempted_amount = MaybeUnset::Set(*attempted_amount);
                self.failed_at = time(failed_at);
            }
            Details::Error {
                error_code,
                message,
                error_at,
            } => {
                self.error_code = text(error_code);
                self.message = text(message);
                self.error_at = time(error_at);
            }
        }
    }
}

/// A row that was serialized before: cells of a length and so many bytes.
#[derive(Debug, Clone, Copy)]
pub struct EncodedRow<'a>(&'a [u8]);

impl SerializeRow for EncodedRow<'_> {
    fn serialize(
        &self,
        _context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        let mut rest = self.0;
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            rest = tail;
            let cell = writer.make_cell_writer();
            match i32::from_be_bytes(*length) {
                -2 => cell.set_unset(),
                length if length < 0 => cell.set_null(),
                length => {
                    let (value, tail) = rest.split_at(length as usize);
                    rest = tail;
                    cell.set_value(value).map_err(SerializationError::new)?
                }
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

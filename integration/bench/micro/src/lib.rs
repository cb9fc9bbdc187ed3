//! Only benches: see benches/micro.rs.

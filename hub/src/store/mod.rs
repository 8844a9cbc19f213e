//! The database: SQLite by default, PostgreSQL by URL; one set of queries for both.

use sqlx::AnyPool;

/// Two pools over one database. SQLite has one writer at a time, so `write` is a pool of one
/// there and nobody waits for a lock inside a transaction.
#[derive(Clone)]
pub struct Store {
    /// For single statements that change nothing.
    pub read: AnyPool,
    /// For everything that changes rows, and for transactions.
    pub write: AnyPool,
}

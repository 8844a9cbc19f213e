//! The database: SQLite. Nothing opens PostgreSQL yet, but there is one set of queries for both.
//!
//! Never here: a rule of the service. The operations write their own statements, in the SQL
//! that both databases know: `$1` placeholders, `TEXT` and `BIGINT` columns, `ON CONFLICT`.

pub mod data_dir;
pub mod files;
pub mod select;
pub mod sqlite;

use crate::error::ApiError;
use sqlx::{Any, AnyPool, Transaction};

/// Two pools over one database. SQLite has one writer at a time, so `write` is a pool of one
/// there and nobody waits for a lock inside a transaction.
#[derive(Clone)]
pub struct Store {
    /// For single statements that change nothing.
    pub read: AnyPool,
    /// For everything that changes rows, and for transactions.
    pub write: AnyPool,
}

impl Store {
    /// Begins a transaction that is going to write. Dropping it rolls back.
    ///
    /// # Errors
    /// When the database can't be reached, or another process keeps it locked.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        // A deferred transaction that reads first and then finds that `access-key` (another
        // process) wrote in between can only fail; an immediate one waits for its turn.
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT name FROM setting LIMIT 1").fetch_optional(&self.read).await?;
        Ok(())
    }

    /// A fact about this hub.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.read)
            .await
    }

    /// Remembers a fact about this hub.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO setting (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Closes both pools. What was committed is in the database file, not only in its log.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> ApiError {
        ApiError::internal(error)
    }
}

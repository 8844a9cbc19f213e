//! Queries whose conditions depend on the request.
//!
//! Only conditions written in this program become text; every value of a request is bound, so
//! there is nothing to quote. Placeholders are `$1`, `$2`, … which SQLite and PostgreSQL share.

use crate::error::ApiResult;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyPool, AssertSqlSafe, FromRow};
use std::fmt::Write;

/// A `SELECT` under construction.
pub struct Select {
    text: String,
    bound: Vec<Bound>,
}

/// A value that goes to the database beside the text.
#[derive(Clone, Debug)]
pub enum Bound {
    /// `TEXT`.
    Text(String),
    /// `BIGINT`.
    Number(i64),
}

impl From<&str> for Bound {
    fn from(text: &str) -> Bound {
        Bound::Text(text.to_owned())
    }
}

impl From<&String> for Bound {
    fn from(text: &String) -> Bound {
        Bound::Text(text.clone())
    }
}

impl From<i64> for Bound {
    fn from(number: i64) -> Bound {
        Bound::Number(number)
    }
}

impl Select {
    /// Starts with the columns and tables; conditions follow.
    pub fn new(columns_and_tables: &'static str) -> Select {
        Select { text: format!("{columns_and_tables} WHERE 1 = 1"), bound: Vec::new() }
    }

    /// Adds a condition in which each `?` stands for the next of `values`.
    pub fn and(mut self, condition: &'static str, values: impl IntoIterator<Item = Bound>) -> Self {
        let mut values = values.into_iter();
        self.text.push_str(" AND (");
        for c in condition.chars() {
            match (c, c == '?').1.then(|| values.next()).flatten() {
                Some(value) => self.push(value),
                None => self.text.push(c),
            }
        }
        self.text.push(')');
        self
    }

    /// Adds "`column` is one of `values`"; an empty list is never true.
    pub fn and_in<'v>(
        mut self,
        column: &'static str,
        values: impl IntoIterator<Item = &'v String>,
    ) -> Self {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            self.text.push_str(" AND 1 = 0");
            return self;
        }
        let _ = write!(self.text, " AND {column} IN (");
        while let Some(value) = values.next() {
            self.push(value.into());
            self.text.push_str(if values.peek().is_some() { ", " } else { ")" });
        }
        self
    }

    /// Ends the query with its order and limit, and runs it.
    ///
    /// # Errors
    /// `InternalServerError` when the store fails.
    pub async fn rows<T>(
        mut self,
        order: &'static str,
        limit: Option<i64>,
        pool: &AnyPool,
    ) -> ApiResult<Vec<T>>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        self.text.push(' ');
        self.text.push_str(order);
        if let Some(limit) = limit {
            self.text.push_str(" LIMIT ");
            self.push(limit.into());
        }
        // Safe: the text is made of the string literals of this program alone.
        let mut query = sqlx::query_as::<Any, T>(AssertSqlSafe(self.text));
        for value in self.bound {
            query = match value {
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        Ok(query.fetch_all(pool).await?)
    }

    fn push(&mut self, value: Bound) {
        self.bound.push(value);
        let _ = write!(self.text, "${}", self.bound.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_become_text() {
        let ids = ["x'; DROP TABLE node; --".to_owned(), "y".to_owned()];
        let select = Select::new("SELECT id FROM node")
            .and("a = ? OR b > ?", [Bound::from("o'hara"), Bound::from(7)])
            .and_in("id", &ids)
            .and_in("name", &[]);
        assert_eq!(
            select.text,
            "SELECT id FROM node WHERE 1 = 1 AND (a = $1 OR b > $2) AND id IN ($3, $4) AND 1 = 0"
        );
        assert_eq!(select.bound.len(), 4);
    }
}

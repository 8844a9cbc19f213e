//! A version of a parameter as the store has it, and as answers show it.

use super::policies::Policies;
use super::selector::Which;
use super::{name, secure};
use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::{present, timestamp};
use serde_json::{Value, json};

/// The type whose values are sealed.
pub const SECURE_STRING: &str = "SecureString";

/// One version with what all versions share.
#[derive(sqlx::FromRow)]
pub struct Row {
    /// The parameter's name.
    pub name: String,
    /// From 1.
    pub version: i64,
    /// String, StringList or SecureString.
    pub parameter_type: String,
    /// Sealed if it is a SecureString.
    pub value: String,
    /// Of a SecureString only.
    pub key_id: Option<String>,
    /// Standard or Advanced.
    pub tier: String,
    /// `text` and others.
    pub data_type: String,
    /// What the operator said.
    pub description: Option<String>,
    /// The regular expression that values have to match.
    pub allowed_pattern: Option<String>,
    /// See [`Policies`].
    pub policies: String,
    /// Milliseconds since 1970.
    pub modified_at: i64,
    /// An ARN.
    pub modified_by: String,
}

/// All versions of all parameters; conditions follow.
pub fn select() -> Select {
    Select::new(
        "SELECT v.name AS name, v.version AS version, p.parameter_type AS parameter_type,
           v.value AS value, v.key_id AS key_id, v.tier AS tier, v.data_type AS data_type,
           v.description AS description, v.allowed_pattern AS allowed_pattern,
           v.policies AS policies, v.modified_at AS modified_at, v.modified_by AS modified_by
         FROM parameter_version v JOIN parameter p ON p.name = v.name",
    )
}

/// The newest version of each parameter; conditions follow.
pub fn select_latest() -> Select {
    select().and("v.version = p.latest", [])
}

/// The versions that have labels, each once; conditions on `l.label` follow.
pub fn select_labelled() -> Select {
    Select::new(
        "SELECT DISTINCT v.name AS name, v.version AS version,
           p.parameter_type AS parameter_type, v.value AS value, v.key_id AS key_id,
           v.tier AS tier, v.data_type AS data_type, v.description AS description,
           v.allowed_pattern AS allowed_pattern, v.policies AS policies,
           v.modified_at AS modified_at, v.modified_by AS modified_by
         FROM parameter_version v JOIN parameter p ON p.name = v.name
         JOIN parameter_label l ON l.name = v.name AND l.version = v.version",
    )
}

/// One version of one parameter.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn find(app: &App, name: &str, which: &Which) -> ApiResult<Option<Row>> {
    let named = select().and("v.name = ?", [Bound::from(name)]);
    let query = match which {
        Which::Latest => named.and("v.version = p.latest", []),
        Which::Version(version) => named.and("v.version = ?", [Bound::from(*version)]),
        Which::Label(label) => named.and(
            "v.version = (SELECT l.version FROM parameter_label l
                          WHERE l.name = v.name AND l.label = ?)",
            [Bound::from(label)],
        ),
    };
    Ok(query.rows("", Some(1), &app.store.read).await?.pop())
}

/// Whether there is a parameter of this name.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn exists(app: &App, name: &str) -> ApiResult<bool> {
    let row: Option<(String,)> = sqlx::query_as("SELECT name FROM parameter WHERE name = $1")
        .bind(name)
        .fetch_optional(&app.store.read)
        .await?;
    Ok(row.is_some())
}

impl Row {
    /// The value to answer: in the clear when asked for, else what is kept.
    ///
    /// # Errors
    /// Those of [`secure::open`].
    pub fn shown_value(&self, app: &App, decrypt: bool) -> ApiResult<String> {
        match &self.key_id {
            Some(key) if decrypt => {
                let clear = secure::open(app, &self.name, self.version, key, &self.value)?;
                Ok(clear.to_string())
            }
            _ => Ok(self.value.clone()),
        }
    }

    /// As GetParameter and its relatives answer it.
    ///
    /// # Errors
    /// Those of [`secure::open`].
    pub fn parameter(
        &self,
        app: &App,
        region: &str,
        decrypt: bool,
        selector: Option<String>,
    ) -> ApiResult<Value> {
        Ok(present(json!({
            "Name": self.name,
            "Type": self.parameter_type,
            "Value": self.shown_value(app, decrypt)?,
            "Version": self.version,
            "Selector": selector,
            "LastModifiedDate": timestamp(self.modified_at),
            "ARN": name::arn(region, &app.account_id, &self.name),
            "DataType": self.data_type,
        })))
    }

    /// What DescribeParameters and GetParameterHistory have in common.
    pub fn metadata(&self) -> Value {
        present(json!({
            "Name": self.name,
            "Type": self.parameter_type,
            "KeyId": self.key_id,
            "LastModifiedDate": timestamp(self.modified_at),
            "LastModifiedUser": self.modified_by,
            "Description": self.description,
            "AllowedPattern": self.allowed_pattern,
            "Version": self.version,
            "Tier": self.tier,
            "Policies": Policies::from_row(&self.policies).shown(),
            "DataType": self.data_type,
        }))
    }
}

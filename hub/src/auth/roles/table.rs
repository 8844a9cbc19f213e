//! The table of rules. The hub asks it on every request, so a rule that another process changes
//! holds from the next request on.

use super::{ANY_ROLE, Condition, LONGEST_NAME, Pattern};
use crate::store::Store;
use crate::store::select::{Bound, Select};
use sqlx::AnyPool;
use stint_wire::time::Utc;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The role it is for, or [`ANY_ROLE`].
    pub role: String,
    /// Its name within the role.
    pub name: String,
    /// What nodes may read. Never empty.
    pub read_parameters: Vec<Pattern>,
    /// All of these have to hold for the node.
    pub conditions: Vec<Condition>,
}

/// Why a rule could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Store(#[from] sqlx::Error),
    /// The rule is none.
    #[error("{0}")]
    Rule(String),
}

impl From<RoleError> for crate::error::ApiError {
    fn from(error: RoleError) -> Self {
        crate::error::ApiError::internal(error)
    }
}

impl Rule {
    /// A rule out of text.
    ///
    /// # Errors
    /// [`RoleError::Rule`] with what is wrong.
    pub fn parse(
        role: &str,
        name: &str,
        read_parameters: &[String],
        conditions: &[String],
    ) -> Result<Rule, RoleError> {
        let any = role == ANY_ROLE;
        for (what, text, good) in
            [("role", role, any || is_name(role)), ("rule", name, is_name(name))]
        {
            if !good {
                return Err(RoleError::Rule(format!(
                    "'{text}' is no name of a {what}: it has 1 to {LONGEST_NAME} letters, digits \
                     and symbols of + = , . @ - _ /"
                )));
            }
        }
        if read_parameters.is_empty() {
            return Err(RoleError::Rule("a rule needs a parameter that it lets read".to_owned()));
        }
        let patterns: Result<_, _> = read_parameters.iter().map(|t| Pattern::parse(t)).collect();
        let conditions: Result<_, _> = conditions.iter().map(|t| Condition::parse(t)).collect();
        Ok(Rule {
            role: role.to_owned(),
            name: name.to_owned(),
            read_parameters: patterns.map_err(RoleError::Rule)?,
            conditions: conditions.map_err(RoleError::Rule)?,
        })
    }
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(letter)
}

/// Keeps a rule; one of the same role and name is replaced.
///
/// # Errors
/// Those of the database.
pub async fn put(store: &Store, rule: &Rule, now: Utc) -> Result<(), RoleError> {
    sqlx::query(
        "INSERT INTO role_rule (role, name, read_parameters, conditions, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (role, name) DO UPDATE SET read_parameters = excluded.read_parameters,
           conditions = excluded.conditions, updated_at = excluded.updated_at",
    )
    .bind(&rule.role)
    .bind(&rule.name)
    .bind(texts(&rule.read_parameters))
    .bind(texts(&rule.conditions))
    .bind(now.0 as i64)
    .execute(&store.write)
    .await?;
    Ok(())
}

/// The rules of a role, or all; by role and name.
///
/// # Errors
/// Those of the database, and [`RoleError::Rule`] for a row that is no rule.
pub async fn list(pool: &AnyPool, role: Option<&str>) -> Result<Vec<Rule>, RoleError> {
    let select = Select::new("SELECT role, name, read_parameters, conditions FROM role_rule");
    let select = match role {
        Some(role) => select.and("role = ?", [Bound::from(role)]),
        None => select,
    };
    let rows: Vec<(String, String, String, String)> = select
        .rows("ORDER BY role, name", None, pool)
        .await
        .map_err(|e| RoleError::Rule(e.to_string()))?;
    rows.into_iter()
        .map(|(role, name, patterns, conditions)| {
            Rule::parse(&role, &name, &from_texts(&patterns)?, &from_texts(&conditions)?)
        })
        .collect()
}

/// Deletes a rule of a role, or all of them. How many there were.
///
/// # Errors
/// Those of the database.
pub async fn delete(store: &Store, role: &str, rule: Option<&str>) -> Result<u64, RoleError> {
    let done = sqlx::query("DELETE FROM role_rule WHERE role = $1 AND ($2 = '' OR name = $2)")
        .bind(role)
        .bind(rule.unwrap_or_default())
        .execute(&store.write)
        .await?;
    Ok(done.rows_affected())
}

/// A list as a column of a rule.
pub fn texts<T: ToString>(items: &[T]) -> String {
    serde_json::Value::from_iter(items.iter().map(T::to_string)).to_string()
}

/// And back.
///
/// # Errors
/// [`RoleError::Rule`] for a column that holds no list.
pub fn from_texts(json: &str) -> Result<Vec<String>, RoleError> {
    serde_json::from_str(json).map_err(|e| RoleError::Rule(format!("a rule's row is damaged: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    fn rule(role: &str, name: &str, patterns: &[&str]) -> Rule {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Rule::parse(role, name, &patterns, &["tag:site=berlin".to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn rules_are_replaced_by_name_and_deleted_by_role() {
        let (app, _dir) = testing::app().await;
        for rule in [
            rule("Edge", "default", &["/a"]),
            rule("Edge", "more", &["/m/*"]),
            rule("*", "default", &["/x"]),
            rule("Edge", "default", &["/b", "/c/{node}/*"]),
        ] {
            put(&app.store, &rule, Utc(1)).await.unwrap();
        }
        let all = list(&app.store.read, None).await.unwrap();
        assert_eq!(all.len(), 3);
        let edge = list(&app.store.read, Some("Edge")).await.unwrap();
        assert_eq!(edge[0], rule("Edge", "default", &["/b", "/c/{node}/*"]));
        assert_eq!(delete(&app.store, "Edge", Some("more")).await.unwrap(), 1);
        assert_eq!(delete(&app.store, "Edge", None).await.unwrap(), 1);
        assert_eq!(delete(&app.store, "Edge", None).await.unwrap(), 0);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let read = ["/a".to_owned()];
        for (role, name) in [("", "x"), ("a b", "x"), ("Edge", ""), ("Edge", "*")] {
            assert!(Rule::parse(role, name, &read, &[]).is_err(), "{role} {name}");
        }
        assert!(Rule::parse("Edge", "x", &[], &[]).is_err());
        assert!(Rule::parse("Edge", "x", &read, &["site".to_owned()]).is_err());
    }
}

//! Which sessions an operator's key may open: documents, and conditions on the node's tags.
//!
//! Without any rule every key may open every session, as every key may run every command. With the
//! first one only what a rule allows is open. The database is asked each time, so that a rule that
//! another process changes holds from the next request on.

use super::roles::{ANY_ROLE, Condition, RoleError, from_texts, texts};
use crate::store::Store;
use crate::tools::tags::Tag;
use sqlx::AnyPool;
use stint_wire::time::Utc;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The access key's id, or a star for every key.
    pub access_key: String,
    /// Its name among the key's.
    pub name: String,
    /// Names of session documents; a star at the end stands for any rest. Never empty.
    pub documents: Vec<String>,
    /// All of these have to hold for the node.
    pub conditions: Vec<Condition>,
}

impl Rule {
    /// A rule out of text.
    ///
    /// # Errors
    /// [`RoleError::Rule`] with what is wrong.
    pub fn parse(
        access_key: &str,
        name: &str,
        documents: &[String],
        conditions: &[String],
    ) -> Result<Rule, RoleError> {
        let wrong = |what: String| Err(RoleError::Rule(what));
        if access_key != ANY_ROLE && !access_key.chars().all(|c| c.is_ascii_alphanumeric()) {
            return wrong(format!("'{access_key}' is no access key's id, nor a star"));
        }
        if access_key.is_empty() || name.is_empty() {
            return wrong("a rule needs an access key and a name".to_owned());
        }
        let letter = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
        for text in documents {
            let body = text.strip_suffix('*').unwrap_or(text);
            if text.is_empty() || !body.chars().all(letter) {
                return wrong(format!(
                    "'{text}' is no name of a document; it may have a star at its end only"
                ));
            }
        }
        if documents.is_empty() {
            return wrong("a rule needs a document that it lets open".to_owned());
        }
        let conditions: Result<_, _> = conditions.iter().map(|t| Condition::parse(t)).collect();
        Ok(Rule {
            access_key: access_key.to_owned(),
            name: name.to_owned(),
            documents: documents.to_vec(),
            conditions: conditions.map_err(RoleError::Rule)?,
        })
    }

    fn allows(&self, access_key: &str, document: &str, tags: &[Tag]) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => document.starts_with(start),
            None => document == pattern,
        };
        (self.access_key == ANY_ROLE || self.access_key == access_key)
            && self.documents.iter().any(fits)
            && self.conditions.iter().all(|condition| condition.holds(tags))
    }
}

/// Whether a key may open a session by this document on a node with these tags.
///
/// # Errors
/// Those of the database, and [`RoleError::Rule`] for a row that is no rule: it must not be taken
/// for less than it is.
pub async fn allow(
    pool: &AnyPool,
    access_key: &str,
    document: &str,
    tags: &[Tag],
) -> Result<bool, RoleError> {
    let rules = list(pool).await?;
    Ok(rules.is_empty() || rules.iter().any(|rule| rule.allows(access_key, document, tags)))
}

/// All rules, by key and name.
///
/// # Errors
/// As [`allow`].
pub async fn list(pool: &AnyPool) -> Result<Vec<Rule>, RoleError> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT access_key, name, documents, conditions FROM session_rule
         ORDER BY access_key, name",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|(key, name, documents, conditions)| {
            Rule::parse(key, name, &from_texts(documents)?, &from_texts(conditions)?)
        })
        .collect()
}

/// Keeps a rule; one of the same key and name is replaced.
///
/// # Errors
/// Those of the database.
pub async fn put(store: &Store, rule: &Rule, now: Utc) -> Result<(), RoleError> {
    sqlx::query(
        "INSERT INTO session_rule (access_key, name, documents, conditions, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (access_key, name) DO UPDATE SET documents = excluded.documents,
           conditions = excluded.conditions, updated_at = excluded.updated_at",
    )
    .bind(&rule.access_key)
    .bind(&rule.name)
    .bind(texts(&rule.documents))
    .bind(texts(&rule.conditions))
    .bind(now.0 as i64)
    .execute(&store.write)
    .await?;
    Ok(())
}

/// Deletes a rule of a key, or all of them. How many there were.
///
/// # Errors
/// Those of the database.
pub async fn delete(store: &Store, key: &str, rule: Option<&str>) -> Result<u64, RoleError> {
    let done =
        sqlx::query("DELETE FROM session_rule WHERE access_key = $1 AND ($2 = '' OR name = $2)")
            .bind(key)
            .bind(rule.unwrap_or_default())
            .execute(&store.write)
            .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    fn rule(key: &str, documents: &[&str], conditions: &[&str]) -> Rule {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        Rule::parse(key, "r", &own(documents), &own(conditions)).unwrap()
    }

    #[tokio::test]
    async fn without_a_rule_all_is_open_and_with_one_nothing_else() {
        let (app, _dir) = testing::app().await;
        let pool = &app.store.read;
        let tags = [Tag { key: "site".to_owned(), value: "berlin".to_owned() }];
        assert!(allow(pool, "AKIA1", "AWS-StartSSHSession", &[]).await.unwrap());
        let only = rule("AKIA1", &["AWS-Start*"], &["tag:site=berlin"]);
        put(&app.store, &only, Utc(1)).await.unwrap();
        for (key, document, tags, expected) in [
            ("AKIA1", "AWS-StartSSHSession", &tags[..], true),
            ("AKIA1", "AWS-StartSSHSession", &[][..], false),
            ("AKIA1", "SSM-SessionManagerRunShell", &tags[..], false),
            ("AKIA2", "AWS-StartSSHSession", &tags[..], false),
        ] {
            assert_eq!(allow(pool, key, document, tags).await.unwrap(), expected, "{key}");
        }
        put(&app.store, &rule("*", &["My-Shell"], &[]), Utc(1)).await.unwrap();
        assert!(allow(pool, "AKIA2", "My-Shell", &[]).await.unwrap());
        assert!(!allow(pool, "AKIA2", "My-Shell-2", &[]).await.unwrap());
        assert_eq!(list(pool).await.unwrap(), [rule("*", &["My-Shell"], &[]), only]);
        assert_eq!(delete(&app.store, "AKIA1", None).await.unwrap(), 1);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (key, documents) in [
            ("", vec!["a"]),
            ("a b", vec!["a"]),
            ("*", vec![]),
            ("*", vec!["a*b"]),
            ("*", vec![""]),
        ] {
            let documents: Vec<String> = documents.into_iter().map(str::to_owned).collect();
            assert!(Rule::parse(key, "r", &documents, &[]).is_err(), "{key} {documents:?}");
        }
        assert!(Rule::parse("*", "r", &["a".to_owned()], &["site".to_owned()]).is_err());
    }
}

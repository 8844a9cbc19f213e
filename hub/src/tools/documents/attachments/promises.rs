//! Links that are good for long promise their content: it stays as long as they do, also when
//! nothing names it any more.

use super::link_for;
use crate::app::App;
use crate::error::ApiResult;
use stint_wire::time::Utc;

/// How long such a link is good: a device that is away for a day still gets what it leads to.
pub const LINK_MILLIS: u64 = 24 * 3_600_000;

/// A link whose content is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promised {
    /// Path and query.
    pub link: String,
    /// The content's SHA-256 in hexadecimal digits.
    pub hash: String,
    /// The name of the file in the link.
    pub file_name: String,
    /// Until when the link is good.
    pub until: Utc,
}

/// Makes a link that is good for [`LINK_MILLIS`]. The promise is in the store when this returns.
///
/// # Errors
/// `InternalServerError` when there is no randomness or the store fails.
pub async fn promise(app: &App, hash: &str, file_name: &str, now: Utc) -> ApiResult<Promised> {
    let until = Utc(now.0.saturating_add(LINK_MILLIS));
    sqlx::query(
        "INSERT INTO promised_content (hash, until) VALUES ($1, $2)
         ON CONFLICT (hash) DO UPDATE SET until = CASE
           WHEN excluded.until > promised_content.until THEN excluded.until
           ELSE promised_content.until END",
    )
    .bind(hash)
    .bind(until.0 as i64)
    .execute(&app.store.write)
    .await?;
    Ok(Promised {
        link: link_for(app, hash, file_name, until)?,
        hash: hash.to_owned(),
        file_name: file_name.to_owned(),
        until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::store::data_dir::DataDir;
    use crate::tools::documents::attachments::{blob, delete, put, sweep};
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    #[tokio::test]
    async fn what_a_link_promises_is_there_until_it_ends() {
        let (app, outer) = testing::app().await;
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let source = outer.path().join("tool.deb");
        fs::write(&source, "abc").unwrap();
        let now = app.now();
        let hash = put(&app.store, &dir, "tools", &source, now).await.unwrap().hash;
        let later = |millis: u64| Utc(now.0 + millis);
        promise(&app, &hash, "tool.deb", later(5_000)).await.unwrap();
        // An earlier one takes nothing back.
        let made = promise(&app, &hash, "tool.deb", now).await.unwrap();
        assert_eq!((made.until, made.hash.as_str()), (later(LINK_MILLIS), hash.as_str()));
        delete(&app.store, &dir, "tools/tool.deb").await.unwrap();
        for (millis, there) in [(LINK_MILLIS + 4_999, true), (LINK_MILLIS + 5_001, false)] {
            let at = UNIX_EPOCH + Duration::from_millis(later(millis).0);
            sweep(&app.store, &dir, at).await.unwrap();
            assert_eq!(blob(&dir, &hash).exists(), there, "{millis}");
        }
    }
}

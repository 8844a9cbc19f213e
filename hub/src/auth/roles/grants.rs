//! What one node may read, as its role's rules and its tags have it at this moment.

use super::pattern::Scope;
use super::{ANY_ROLE, table};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::{self, MANAGED_INSTANCE};

/// The sum of the rules that are about a node.
#[derive(Debug)]
pub struct Grants {
    node: String,
    role: String,
    account: String,
    scopes: Vec<Scope>,
}

impl Grants {
    /// Looks them up.
    ///
    /// # Errors
    /// `InternalServerError` when the store fails or holds a rule that is none: a rule that can't
    /// be read must not be taken for less than it is.
    pub async fn of(app: &App, caller: &NodeCaller) -> ApiResult<Grants> {
        let pool = &app.store.read;
        let role: Option<String> = sqlx::query_scalar("SELECT iam_role FROM node WHERE id = $1")
            .bind(&caller.id)
            .fetch_optional(pool)
            .await?;
        let role = role.unwrap_or_default();
        let tags = tags::of(pool, MANAGED_INSTANCE, &caller.id).await?;
        let mut scopes = Vec::new();
        for of in [role.as_str(), ANY_ROLE] {
            for rule in table::list(pool, Some(of)).await? {
                if rule.conditions.iter().all(|condition| condition.holds(&tags)) {
                    let here =
                        rule.read_parameters.iter().filter_map(|p| p.scope(&caller.id, &tags));
                    scopes.extend(here);
                }
            }
        }
        Ok(Grants { node: caller.id.clone(), role, account: app.account_id.clone(), scopes })
    }

    /// Whether the node may read the parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.has(name))
    }

    /// Whether the node may read every parameter under a path, which ends with a slash.
    pub fn has_all_under(&self, path: &str) -> bool {
        self.scopes.iter().any(|scope| scope.has_all_under(path))
    }

    /// The answer to a node that may not.
    pub fn refusal(&self, operation: &str, resource: &str) -> ApiError {
        ApiError::access_denied(format!(
            "User: arn:aws:sts::{}:assumed-role/{}/{} is not authorized to perform: \
             ssm:{operation} on resource: {resource} because no rule of the role allows it. \
             `stint-hub role put` on the hub makes one.",
            self.account, self.role, self.node
        ))
    }
}

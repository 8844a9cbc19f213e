//! What nodes may read: rules for the roles that their activations name.
//!
//! A rule belongs to a role, or to all with [`ANY_ROLE`]. It lists parameters, and conditions on
//! the node's tags. Without a rule that fits, nothing is allowed.
//!
//! Never here: what a parameter is. Rules are asked about names and paths alone.

mod condition;
mod grants;
mod pattern;
mod table;

pub use condition::Condition;
pub use grants::Grants;
pub use pattern::Pattern;
pub use table::{RoleError, Rule, delete, list, put};
pub(super) use table::{from_texts, texts};

/// The role of a rule for every node.
pub const ANY_ROLE: &str = "*";

/// The name of a rule that was given none.
pub const DEFAULT_RULE: &str = "default";

/// Characters of a role's name (the model's `IamRole`), and of a rule's.
pub const LONGEST_NAME: usize = 64;

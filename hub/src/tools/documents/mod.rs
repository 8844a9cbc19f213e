//! Documents: what a command does, with declared parameters; and the other types that operators
//! store. Built-in documents are files of the program; operators' own are in the store, in numbered
//! versions.
//!
//! Never here: running anything.

pub mod attachments;
mod built_in;
mod check;
mod content;
mod create;
mod delete;
mod document;
mod find;
mod format;
mod get;
mod list;
mod parameters;
mod permission;
mod platforms;
mod reviews;
mod table;
mod texts;
mod update;
mod versions;
mod yaml;

pub use check::{MOST_IDLE_MINUTES, MOST_MINUTES, minutes};
pub use content::{Content, Step};
pub use create::create;
pub use delete::delete;
pub use document::{Document, Summary};
pub use find::find;
pub use get::{describe, get, get_for_node};
pub use list::list;
pub use permission::{describe as describe_permission, modify as modify_permission};
pub use reviews::{history, update as update_metadata};
pub use update::{set_default, update};
pub use versions::list as list_versions;

#[cfg(test)]
mod built_in_tests;
#[cfg(test)]
mod tests;

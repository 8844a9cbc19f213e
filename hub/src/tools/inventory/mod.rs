//! Inventory: what nodes say of themselves, by type; and the child agents of those that have some.
//!
//! Never here: collecting anything. What is shown is what a node put last.

mod aggregate;
mod entries;
mod filters;
mod get;
mod item;
mod put;
mod schema;

pub use entries::list;
pub use get::get;
pub use item::{CHILD_AGENTS, Item, MODULES, RESTARTS, store};
pub use put::{Put, put};
pub use schema::schema;

#[cfg(test)]
mod tests;

//! The views of a request, and nothing else of the role.

#[path = "../../src/view/mod.rs"]
pub mod view;

//! How much a listing returns.

use crate::{PAGE_DEFAULT, PAGE_MAX};

/// The limit of a filter: 0 stands for the default.
pub(super) fn filter_limit(limit: u32) -> usize {
    if limit == 0 {
        PAGE_DEFAULT as usize
    } else {
        page_limit(limit)
    }
}

/// The limit of a page.
pub(super) fn page_limit(limit: u32) -> usize {
    limit.min(PAGE_MAX) as usize
}

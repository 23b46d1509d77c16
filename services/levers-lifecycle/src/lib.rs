//! levers-lifecycle

//! The product beside its peers and the limits of the machine: `make bench-compare`.

#[path = "compare/mod.rs"]
mod compare;

/// As in the binary, for the bare servers too: what is compared is not the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    compare::run();
}

//! The binary; everything is in the library.

use std::process::ExitCode;

/// Spans and records are many small pieces of memory that one thread takes and another gives back; the system's allocator
/// spends about a sixth of ingestion's time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    immune_server::cli::main()
}

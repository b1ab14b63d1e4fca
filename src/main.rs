//! `avicuna`: watches live streams and says what happened, when, seen or heard.

mod cli;

/// Frames, samples and tensors are made in one thread and freed in another, for months: glibc's arenas would keep growing.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

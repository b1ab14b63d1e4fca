//! `avicuna`: watches live streams and says what happened, when, seen or heard.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}

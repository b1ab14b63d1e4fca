//! `avicuna`: watches live streams and says what happened, when, seen or heard.

fn main() {}

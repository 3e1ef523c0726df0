//! The service from outside: through its router, on files in a temporary directory, and as a process.

mod search_text;
